"""From media commands to running thread groups: jobs, programs, host threads, suspension."""
