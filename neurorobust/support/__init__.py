"""Files, locks, schemas and names for every other package. Import the modules: nothing is loaded here."""
