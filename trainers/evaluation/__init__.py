"""`evaluate`: models on points whose truth is known; scores that `report` shares."""
