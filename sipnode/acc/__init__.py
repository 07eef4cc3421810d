"""Accounting (CDR): exactly one record of each call, kept through ``kill -9``, for Kamailio's tables, a file and a webhook."""
