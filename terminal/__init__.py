"""The emulated terminal: release, flows, pages, Lcd, host client, journal. Knows nothing of who answers it."""
