"""The control API: what is said on vgpud's socket. Facts and objects; docs/api.md has the words.

`messages.py` frames, `objects.py` is what they carry, `methods.py` the table of methods,
`server.py` answers. The other end is `vgpu_ctl/client.py`.
"""
