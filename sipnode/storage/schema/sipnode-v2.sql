-- The store of sipnode, version 2. Tables and columns bear the names that Kamailio's database has (location version 9,
-- subscriber version 7), so that queries and habits carry over; types are SQLite's own.
-- Times are epoch seconds (REAL): read them with datetime(expires, 'unixepoch').

CREATE TABLE version (
    id INTEGER PRIMARY KEY,
    table_name TEXT NOT NULL UNIQUE,
    table_version INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE location (
    id INTEGER PRIMARY KEY,
    ruid TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL DEFAULT '',
    domain TEXT,
    contact TEXT NOT NULL DEFAULT '',
    received TEXT,
    path TEXT,
    expires REAL NOT NULL,
    q REAL NOT NULL DEFAULT 1.0,
    callid TEXT NOT NULL DEFAULT '',
    cseq INTEGER NOT NULL DEFAULT 1,
    last_modified REAL NOT NULL DEFAULT 0,
    flags INTEGER NOT NULL DEFAULT 0,
    cflags INTEGER NOT NULL DEFAULT 0,
    user_agent TEXT NOT NULL DEFAULT '',
    socket TEXT,
    methods INTEGER,
    instance TEXT,
    reg_id INTEGER NOT NULL DEFAULT 0,
    server_id INTEGER NOT NULL DEFAULT 0,
    connection_id TEXT NOT NULL DEFAULT '',
    keepalive INTEGER NOT NULL DEFAULT 0,
    "partition" INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX location_account_idx ON location (username, domain);

-- ha1 = MD5(username:domain:password), ha1b = MD5(username@domain:domain:password); the _sha256 columns are the same two
-- with SHA-256 (RFC 8760) and are sipnode's own. password stays empty unless somebody wants it kept.
CREATE TABLE subscriber (
    id INTEGER PRIMARY KEY,
    username TEXT NOT NULL DEFAULT '',
    domain TEXT NOT NULL DEFAULT '',
    password TEXT NOT NULL DEFAULT '',
    ha1 TEXT NOT NULL DEFAULT '',
    ha1b TEXT NOT NULL DEFAULT '',
    ha1_sha256 TEXT NOT NULL DEFAULT '',
    ha1b_sha256 TEXT NOT NULL DEFAULT '',
    UNIQUE (username, domain)
);

CREATE INDEX subscriber_domain_idx ON subscriber (domain);

-- What users published (RFC 3903); a row lives until expires.
CREATE TABLE presentity (
    id INTEGER PRIMARY KEY,
    username TEXT NOT NULL,
    domain TEXT NOT NULL,
    event TEXT NOT NULL,
    etag TEXT NOT NULL,
    expires REAL NOT NULL,
    received_time REAL NOT NULL,
    body BLOB NOT NULL,
    sender TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    ruid TEXT NOT NULL UNIQUE
);

-- Subscriptions (RFC 6665): one row a dialog. local_cseq is the highest number that a NOTIFY may bear before the row is written again.
CREATE TABLE active_watchers (
    id INTEGER PRIMARY KEY,
    presentity_uri TEXT NOT NULL,
    watcher_username TEXT NOT NULL,
    watcher_domain TEXT NOT NULL,
    to_user TEXT NOT NULL,
    to_domain TEXT NOT NULL,
    event TEXT NOT NULL DEFAULT 'presence',
    event_id TEXT,
    to_tag TEXT NOT NULL,
    from_tag TEXT NOT NULL,
    callid TEXT NOT NULL,
    local_cseq INTEGER NOT NULL,
    remote_cseq INTEGER NOT NULL,
    contact TEXT NOT NULL,
    record_route TEXT,
    expires REAL NOT NULL,
    status INTEGER NOT NULL DEFAULT 2,
    reason TEXT,
    version INTEGER NOT NULL DEFAULT 0,
    socket_info TEXT NOT NULL,
    local_contact TEXT NOT NULL,
    from_user TEXT NOT NULL,
    from_domain TEXT NOT NULL,
    updated INTEGER NOT NULL,
    updated_winfo INTEGER NOT NULL,
    flags INTEGER NOT NULL DEFAULT 0,
    user_agent TEXT DEFAULT '',
    UNIQUE (callid, to_tag, from_tag)
);

-- What presentities decided about those who watch them: status 1 may, 2 waits, 3 may not.
CREATE TABLE watchers (
    id INTEGER PRIMARY KEY,
    presentity_uri TEXT NOT NULL,
    watcher_username TEXT NOT NULL,
    watcher_domain TEXT NOT NULL,
    event TEXT NOT NULL DEFAULT 'presence',
    status INTEGER NOT NULL,
    reason TEXT,
    inserted_time INTEGER NOT NULL,
    UNIQUE (presentity_uri, watcher_username, watcher_domain, event)
);

INSERT INTO version (table_name, table_version) VALUES ('version', 1), ('location', 9), ('subscriber', 7), ('presentity', 5), ('active_watchers', 12), ('watchers', 3);
