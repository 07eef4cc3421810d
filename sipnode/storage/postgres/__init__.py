"""The store of ``postgres:`` URLs, in the tables that Kamailio made. Imported only when such a URL is configured."""
