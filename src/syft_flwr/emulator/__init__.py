"""A local Google Drive: the v3 HTTP API for several accounts, over loopback, for rehearsals and tests."""
