-- The tables that sipnode shares with Kamailio 5.6, with Kamailio's names, columns and types: they are the interface between the
-- two. Run by `sipnode db init`, which makes only the parts that are missing. Times in location are local
-- to the machine that wrote them.

-- part: version
CREATE TABLE version (
    id serial PRIMARY KEY, table_name varchar(32) NOT NULL, table_version integer NOT NULL DEFAULT 0,
    CONSTRAINT version_table_name_idx UNIQUE (table_name)
);
INSERT INTO version (table_name, table_version) VALUES ('version','1');

-- part: subscriber
CREATE TABLE subscriber (
    id serial PRIMARY KEY, username varchar(64) NOT NULL DEFAULT '', domain varchar(64) NOT NULL DEFAULT '',
    password varchar(64) NOT NULL DEFAULT '', ha1 varchar(128) NOT NULL DEFAULT '',
    ha1b varchar(128) NOT NULL DEFAULT '', CONSTRAINT subscriber_account_idx UNIQUE (username, domain)
);
CREATE INDEX subscriber_username_idx ON subscriber (username);
INSERT INTO version (table_name, table_version) VALUES ('subscriber','7');

-- part: location
CREATE TABLE location (
    id serial PRIMARY KEY, ruid varchar(64) NOT NULL DEFAULT '', username varchar(64) NOT NULL DEFAULT '',
    domain varchar(64) DEFAULT NULL, contact varchar(512) NOT NULL DEFAULT '', received varchar(128) DEFAULT NULL, path varchar(512) DEFAULT NULL,
    expires timestamp NOT NULL DEFAULT '2030-05-28 21:32:15', q real NOT NULL DEFAULT 1.0,
    callid varchar(255) NOT NULL DEFAULT 'Default-Call-ID', cseq integer NOT NULL DEFAULT 1,
    last_modified timestamp NOT NULL DEFAULT '2000-01-01 00:00:01', flags integer NOT NULL DEFAULT 0,
    cflags integer NOT NULL DEFAULT 0, user_agent varchar(255) NOT NULL DEFAULT '', socket varchar(64) DEFAULT NULL,
    methods integer DEFAULT NULL, instance varchar(255) DEFAULT NULL, reg_id integer NOT NULL DEFAULT 0,
    server_id integer NOT NULL DEFAULT 0, connection_id integer NOT NULL DEFAULT 0,
    keepalive integer NOT NULL DEFAULT 0, partition integer NOT NULL DEFAULT 0,
    CONSTRAINT location_ruid_idx UNIQUE (ruid)
);
CREATE INDEX location_account_contact_idx ON location (username, domain, contact);
CREATE INDEX location_expires_idx ON location (expires);
CREATE INDEX location_tcpcon_idx ON location (connection_id);
CREATE INDEX location_connection_idx ON location (server_id, connection_id);
INSERT INTO version (table_name, table_version) VALUES ('location','9');

-- part: presentity
CREATE TABLE presentity (
    id serial PRIMARY KEY, username varchar(64) NOT NULL, domain varchar(64) NOT NULL, event varchar(64) NOT NULL,
    etag varchar(128) NOT NULL, expires integer NOT NULL, received_time integer NOT NULL, body bytea NOT NULL,
    sender varchar(255) NOT NULL, priority integer NOT NULL DEFAULT 0, ruid varchar(64),
    CONSTRAINT presentity_presentity_idx UNIQUE (username, domain, event, etag),
    CONSTRAINT presentity_ruid_idx UNIQUE (ruid)
);
CREATE INDEX presentity_presentity_expires ON presentity (expires);
CREATE INDEX presentity_account_idx ON presentity (username, domain, event);
INSERT INTO version (table_name, table_version) VALUES ('presentity','5');

-- part: active_watchers
CREATE TABLE active_watchers (
    id serial PRIMARY KEY, presentity_uri varchar(255) NOT NULL, watcher_username varchar(64) NOT NULL,
    watcher_domain varchar(64) NOT NULL, to_user varchar(64) NOT NULL, to_domain varchar(64) NOT NULL,
    event varchar(64) NOT NULL DEFAULT 'presence', event_id varchar(64), to_tag varchar(128) NOT NULL,
    from_tag varchar(128) NOT NULL, callid varchar(255) NOT NULL, local_cseq integer NOT NULL,
    remote_cseq integer NOT NULL, contact varchar(255) NOT NULL, record_route text, expires integer NOT NULL,
    status integer NOT NULL DEFAULT 2, reason varchar(64), version integer NOT NULL DEFAULT 0,
    socket_info varchar(64) NOT NULL, local_contact varchar(255) NOT NULL, from_user varchar(64) NOT NULL,
    from_domain varchar(64) NOT NULL, updated integer NOT NULL, updated_winfo integer NOT NULL,
    flags integer NOT NULL DEFAULT 0, user_agent varchar(255) DEFAULT '',
    CONSTRAINT active_watchers_active_watchers_idx UNIQUE (callid, to_tag, from_tag)
);
CREATE INDEX active_watchers_active_watchers_expires ON active_watchers (expires);
CREATE INDEX active_watchers_active_watchers_pres ON active_watchers (presentity_uri, event);
CREATE INDEX active_watchers_updated_idx ON active_watchers (updated);
CREATE INDEX active_watchers_updated_winfo_idx ON active_watchers (updated_winfo, presentity_uri);
INSERT INTO version (table_name, table_version) VALUES ('active_watchers','12');

-- part: watchers
CREATE TABLE watchers (
    id serial PRIMARY KEY, presentity_uri varchar(255) NOT NULL, watcher_username varchar(64) NOT NULL,
    watcher_domain varchar(64) NOT NULL, event varchar(64) NOT NULL DEFAULT 'presence', status integer NOT NULL,
    reason varchar(64), inserted_time integer NOT NULL,
    CONSTRAINT watchers_watcher_idx UNIQUE (presentity_uri, watcher_username, watcher_domain, event)
);
INSERT INTO version (table_name, table_version) VALUES ('watchers','3');

-- part: acc
CREATE TABLE acc (
    id serial PRIMARY KEY, method varchar(16) NOT NULL DEFAULT '', from_tag varchar(128) NOT NULL DEFAULT '',
    to_tag varchar(128) NOT NULL DEFAULT '', callid varchar(255) NOT NULL DEFAULT '', sip_code varchar(3) NOT NULL DEFAULT '',
    sip_reason varchar(128) NOT NULL DEFAULT '', time timestamp without time zone NOT NULL
);
CREATE INDEX acc_callid_idx ON acc (callid);
INSERT INTO version (table_name, table_version) VALUES ('acc', 5);

-- part: missed_calls
CREATE TABLE missed_calls (
    id serial PRIMARY KEY, method varchar(16) NOT NULL DEFAULT '', from_tag varchar(128) NOT NULL DEFAULT '',
    to_tag varchar(128) NOT NULL DEFAULT '', callid varchar(255) NOT NULL DEFAULT '', sip_code varchar(3) NOT NULL DEFAULT '',
    sip_reason varchar(128) NOT NULL DEFAULT '', time timestamp without time zone NOT NULL
);
CREATE INDEX missed_calls_callid_idx ON missed_calls (callid);
INSERT INTO version (table_name, table_version) VALUES ('missed_calls', 4);

-- part: triggers
-- Tells who listens which rows a statement has changed: "WRITER S ruid ruid …" saved, "WRITER D …" deleted, "WRITER R" too many to
-- name. One notification for a hundred rows, since a payload has to be shorter than 8000 octets. Each sipnode holds the lock, shared,
-- in the one session that writes and listens: who gets it for itself has nobody else to tell, and saves the notification.
CREATE OR REPLACE FUNCTION sipnode_location_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    writer text := replace(coalesce(nullif(current_setting('application_name'), ''), '-'), ' ', '_');
BEGIN
    IF pg_try_advisory_xact_lock(1397313614, 1) THEN
        RETURN NULL;
    END IF;
    IF (SELECT count(*) FROM changed) > 5000 THEN
        PERFORM pg_notify('sipnode_location', writer || ' R');
    ELSIF TG_OP = 'DELETE' THEN
        -- Who hears it has no row left to ask for, so it is told whose it was.
        PERFORM pg_notify('sipnode_location', writer || ' D ' || string_agg(named, ' '))
        FROM (
            SELECT ruid || '/' || replace(replace(username, '%', '%25'), ' ', '%20') || coalesce('@' || domain, '') AS named,
                (row_number() OVER () - 1) / 12 AS part
            FROM changed
        ) AS gone GROUP BY part;
    ELSE
        PERFORM pg_notify('sipnode_location', writer || ' S ' || string_agg(ruid, ' '))
        FROM (SELECT ruid, (row_number() OVER () - 1) / 100 AS part FROM changed) AS named GROUP BY part;
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER IF EXISTS sipnode_location_inserted ON location;
DROP TRIGGER IF EXISTS sipnode_location_updated ON location;
DROP TRIGGER IF EXISTS sipnode_location_deleted ON location;
CREATE TRIGGER sipnode_location_inserted AFTER INSERT ON location
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sipnode_location_changed();
CREATE TRIGGER sipnode_location_updated AFTER UPDATE ON location
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sipnode_location_changed();
CREATE TRIGGER sipnode_location_deleted AFTER DELETE ON location
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sipnode_location_changed();

-- part: user_triggers
-- The same for users: "WRITER U user@domain …" made, changed or gone, "WRITER V" too many to name.
CREATE OR REPLACE FUNCTION sipnode_users_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    writer text := replace(coalesce(nullif(current_setting('application_name'), ''), '-'), ' ', '_');
BEGIN
    IF pg_try_advisory_xact_lock(1397313614, 1) THEN
        RETURN NULL;
    END IF;
    IF (SELECT count(*) FROM changed) > 5000 THEN
        PERFORM pg_notify('sipnode_users', writer || ' V');
    ELSE
        PERFORM pg_notify('sipnode_users', writer || ' U ' || string_agg(named, ' '))
        FROM (
            SELECT replace(replace(username || '@' || domain, '%', '%25'), ' ', '%20') AS named, (row_number() OVER () - 1) / 12 AS part
            FROM changed
        ) AS names GROUP BY part;
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER IF EXISTS sipnode_subscriber_inserted ON subscriber;
DROP TRIGGER IF EXISTS sipnode_subscriber_updated ON subscriber;
DROP TRIGGER IF EXISTS sipnode_subscriber_deleted ON subscriber;
CREATE TRIGGER sipnode_subscriber_inserted AFTER INSERT ON subscriber
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sipnode_users_changed();
CREATE TRIGGER sipnode_subscriber_updated AFTER UPDATE ON subscriber
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sipnode_users_changed();
CREATE TRIGGER sipnode_subscriber_deleted AFTER DELETE ON subscriber
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sipnode_users_changed();

-- part: presence_triggers
-- The same for presence: "WRITER P user@domain|event …" places whose publications have changed, "WRITER W tag …" subscriptions saved,
-- "WRITER X tag …" deleted, "WRITER J presentity_uri …" decisions about watchers, "WRITER Q" too many to name.
CREATE OR REPLACE FUNCTION sipnode_presence_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    writer text := replace(coalesce(nullif(current_setting('application_name'), ''), '-'), ' ', '_');
BEGIN
    IF pg_try_advisory_xact_lock(1397313614, 1) THEN
        RETURN NULL;
    END IF;
    IF (SELECT count(*) FROM changed) > 5000 THEN
        PERFORM pg_notify('sipnode_presence', writer || ' Q');
    ELSIF TG_TABLE_NAME = 'presentity' THEN
        PERFORM pg_notify('sipnode_presence', writer || ' P ' || string_agg(named, ' '))
        FROM (
            SELECT named, (row_number() OVER () - 1) / 8 AS part
            FROM (
                SELECT DISTINCT replace(replace(username || '@' || domain || '|' || event, '%', '%25'), ' ', '%20') AS named FROM changed
            ) AS places
        ) AS parts GROUP BY part;
    ELSIF TG_TABLE_NAME = 'watchers' THEN
        PERFORM pg_notify('sipnode_presence', writer || ' J ' || string_agg(named, ' '))
        FROM (
            SELECT named, (row_number() OVER () - 1) / 6 AS part
            FROM (SELECT DISTINCT replace(replace(presentity_uri, '%', '%25'), ' ', '%20') AS named FROM changed) AS uris
        ) AS parts GROUP BY part;
    ELSE
        PERFORM pg_notify('sipnode_presence', writer || CASE TG_OP WHEN 'DELETE' THEN ' X ' ELSE ' W ' END || string_agg(to_tag, ' '))
        FROM (SELECT to_tag, (row_number() OVER () - 1) / 30 AS part FROM changed) AS named GROUP BY part;
    END IF;
    RETURN NULL;
END
$$;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['presentity', 'active_watchers', 'watchers'] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS sipnode_%1$s_inserted ON %1$s', name);
        EXECUTE format('DROP TRIGGER IF EXISTS sipnode_%1$s_updated ON %1$s', name);
        EXECUTE format('DROP TRIGGER IF EXISTS sipnode_%1$s_deleted ON %1$s', name);
        EXECUTE format('CREATE TRIGGER sipnode_%1$s_inserted AFTER INSERT ON %1$s REFERENCING NEW TABLE AS changed '
            'FOR EACH STATEMENT EXECUTE FUNCTION sipnode_presence_changed()', name);
        EXECUTE format('CREATE TRIGGER sipnode_%1$s_updated AFTER UPDATE ON %1$s REFERENCING NEW TABLE AS changed '
            'FOR EACH STATEMENT EXECUTE FUNCTION sipnode_presence_changed()', name);
        EXECUTE format('CREATE TRIGGER sipnode_%1$s_deleted AFTER DELETE ON %1$s REFERENCING OLD TABLE AS changed '
            'FOR EACH STATEMENT EXECUTE FUNCTION sipnode_presence_changed()', name);
    END LOOP;
END
$$;
