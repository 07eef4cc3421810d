"""Trunks: providers and PBXs that calls go to and come from. Numbers, digest, registration and health are pure; ``service`` runs them."""
