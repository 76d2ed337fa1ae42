"""Registers by policy and by handler, told once more for `test_register_policy.py`.

Source: PRM SKL vol 7 (logical ring context, user mode registers); GVT-g mmio_context.c, handlers.c;
i915 gt/intel_workarounds.c, gt/intel_mocs.c, i915_perf.c. Hexadecimal BAR0 offsets.
"""

from __future__ import annotations

POLICIES = {
    "PASSTHROUGH_READ": """
        2358-235C 23A8 804C-8054 805C-8070 A01C A2A0 12358-1235C 123A8 1A358-1A35C 1A3A8 22358-2235C
        223A8 44074 13805C-138060 138104-138110 145948
    """,
    "CONTEXT": """
        2088 2090 20C0 20C8 20D8 2158 2178-217C 2290-2294 22C8-22CC 22D8-22DC 22F0-2354 2360-2364
        2400-2420 2430-2440 2448-2454 2500-2508 2580 2600-267C 4DE0-4DF4 4DFC 5200-521C 5240-525C
        5280-528C 7000-7008 7010-7014 7034 7300-7304 83A4 E100 E180-E188 E194 E400-E404 E458-E45C
        E4F0 E558-E55C E658-E65C E758 120C0 12158 12178-1217C 12200 1241C 12600-1267C 1A0C0 1A158
        1A178-1A17C 1A200 1A41C 1A600-1A67C 220C0 22158 22178-2217C 22200 2241C 22600-2267C
    """,
    "SWITCHED": """
        2094 20A0 20D4 20E0-20E4 20EC 2248-224C 23BC 24D0-24FC 2690-2698 28A0 2B00 4024 4080 4090
        40E0-40E4 4AB0 4AB8 4DD4 4DDC 5588 7018 731C 7700-770C 83A8 91B8-91C4 940C B004-B008
        B020-B09C B100 B110 B118-B11C C800-C9FC CB00-CCFC E18C E48C E49C E4F4 E5F4 12094 1224C
        124D0-124FC 12800-128FC 1A094 1A24C 1A4D0-1A4FC 22094 2224C 224D0-224FC
    """,
}
LISTS = {
    "VOLATILE": """
        2094 20EC 2248 23BC 2690-2698 28A0 2B00 7700-770C 83A8 91B8-91C4 B110 B118 E18C E48C E5F4
        12094 12800-128FC 1A094 22094
    """,
    "SWITCHED": """
        2094 20A0 20D4 20E0-20E4 20EC 2248-224C 23BC 24D0-24FC 2690-2698 28A0 2B00 4024 4080 4090
        40E0-40E4 4AB0 4AB8 4DD4 4DDC 5588 7018 731C 7700-770C 83A8 91B8-91C4 940C B004-B008
        B020-B09C B100 B110 B118-B11C C800-C9FC CB00-CCFC E18C E48C E49C E4F4 E5F4 12094 1224C
        124D0-124FC 12800-128FC 1A094 1A24C 1A4D0-1A4FC 22094 2224C 224D0-224FC
    """,
    "COMMAND_STORED": """
        D00-D2C 20CC 2710-272C 2740-275C 2770-27AC 91B8-91CC 9800-9888 44050
    """,
    "PERFORMANCE_GAPS": """
        D08-D2C 9804-983C 9844-9868 9870-9884
    """,
}
HANDLERS = {
    "vgpu": """
        _announced.lambda: 78000-78010 78040-78050

        _read: 78804 78830-7885C

        _read+_write_notify: 78818

        _read+_write_reserved: 78808-78814

        _read_fault: 4094 4B10-4B14

        _read_hardware: 804C-8054 805C-8070 A01C A2A0 44074 13805C-138060 138104-138110 145948

        _write_gdrst: 941C

        _write_switched: 20A0 20D4 20E0-20E4 20EC 2248 2690-2698 28A0 2B00 4024 4080 4090 40E0-40E4
        4AB0 4AB8 4DD4 4DDC 5588 7018 731C 7700-770C 83A8 91B8-91C4 940C B004-B008 B020-B09C B100
        B110 B118-B11C C800-C9FC CB00-CCFC E18C E48C E49C E4F4 E5F4 12800-128FC

        _write_tlb_control: 4260-4274

        lambda: 101008

        read_forcewake_ack: D84-D88 130044

        read_fuse: 9120 9134-913C A26C 51000 120010 145000 14500C-145010 145998

        read_master+write_master: 44200

        read_power_wells: 45400-4540C

        write_bank: 44304 4430C 44314 4431C 44324 4432C 44334 4433C 44444 4444C 44464 4446C 444E4
        444EC C4004 C400C

        write_events: 44308 44318 44328 44338 44448 44468 444E8 C4008

        write_fence: 100000-1000FC

        write_pcode_mailbox: 138124
    """,
    "vgpu engine": """
        _bind_read.lambda: 30-3C 5C-78 110-114 11C 140 168 234-238 358-35C 370-39C 3A8

        _bind_read.lambda+_bind_write.lambda: 9C 3A0

        _bind_write.lambda: A8 D0 230

        _write_switched: 94 24C 3BC 4D0-4FC
    """,
    "softgpu": """
        clear_events: 44308 44318 44328 44338 44448 44468 444E8 C4008

        read_core_status: 138060

        read_domain_status: A2A0

        read_forcewake_ack: D84-D88 130044

        read_frequency: A01C

        read_fuse: 9120 9134-913C A26C 51000 120010 145000 14500C-145010 145998

        read_gdrst+write_gdrst: 941C

        read_master+write_master: 44200

        read_power_wells: 45400-4540C

        read_residency: 138108

        write_bank: 44304 4430C 44314 4431C 44324 4432C 44334 4433C 44444 4444C 44464 4446C 444E4
        444EC C4004 C400C

        write_fence: 100000-1000FC

        write_flush_control: 101008

        write_forcewake: A188 A270 A278

        write_pcode_mailbox: 138124

        write_power_control: A090

        write_tlb_invalidate: 4260-4274
    """,
    "softgpu engine": """
        _reader.lambda: 30-3C 5C-60 74-78 110-114 140 168 234-238 358-35C 370-39C 3A8

        _reader.lambda+_writer.lambda: 9C D0 3A0

        _writer.lambda: 230 270-28C
    """,
}
"""By module: functions for reading and writing, and what they serve; relative for an engine."""
