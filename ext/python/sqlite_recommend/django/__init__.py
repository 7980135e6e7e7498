"""For Django: "sqlite_recommend.django" in INSTALLED_APPS loads the extension into every connection to SQLite that it opens."""
