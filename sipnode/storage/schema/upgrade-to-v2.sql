-- From version 1 to 2: the tables of presence, with the names and versions of Kamailio's.

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

INSERT INTO version (table_name, table_version) VALUES ('presentity', 5), ('active_watchers', 12), ('watchers', 3);
