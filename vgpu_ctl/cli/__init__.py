"""The command line `vgpuctl`: one verb, one file; all of it talks to vgpud through `Client`.

Start at `vgpuctl.py`, which has the table of verbs. A verb's file defines ``command`` and is
imported when that verb is used, so that the others cost nothing. What a verb computes is in files
of its own without input and output: `rates.py`, `plan.py`, `declaration.py`, `chrome_trace.py`,
`qemu_command.py`.
"""
