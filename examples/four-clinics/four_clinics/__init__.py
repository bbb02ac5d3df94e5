"""Four clinics, whose patients differ, predict together how a treatment of the gums turns out."""
