"""The campaign that kills, stops, cuts and fills what runs under load, and checks that nothing is lost."""
