"""The tests are a package: another distribution installs one of this name, which would hide a folder without this file."""
