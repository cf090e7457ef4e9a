"""Files, locks, schemas and names for all packages; import the modules, nothing is loaded here."""
