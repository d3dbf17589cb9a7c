"""The shapes of the ledger over HTTP; its rules are the library's."""
