"""Trains pMSSM surrogates; knows nothing of the supervisor."""
