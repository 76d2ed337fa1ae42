"""The command line, against a control socket that is answered in this process."""
