"""The vfio-user protocol: messages, transport, server and client."""
