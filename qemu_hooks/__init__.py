"""Attaching vGPUs to libvirt domains: `vgpuctl attach`, and the hook that libvirt calls.

`domain_reading.py` finds vGPUs in a domain's XML, `domain_xml.py` puts them there and takes them
out, `attach.py` does it with a libvirt, `hook.py` is the program. Reaches the rest of the project
through vgpu_ctl.client, and vgpuctl's own parts (vgpu_ctl.cli) for its verbs.
"""
