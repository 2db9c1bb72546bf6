"""Commands that build what greyzone ships: tables and, later, models."""
