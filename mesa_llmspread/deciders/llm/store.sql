-- The tables of a store. Columns are the fields of Call, in their order.
CREATE TABLE IF NOT EXISTS calls (
    key TEXT NOT NULL,
    run TEXT NOT NULL,
    model TEXT NOT NULL,
    parameters TEXT NOT NULL,
    schema TEXT NOT NULL,
    draw TEXT NOT NULL,
    step INTEGER NOT NULL,
    agent INTEGER NOT NULL,
    profile TEXT NOT NULL,
    event TEXT NOT NULL,
    outcome TEXT NOT NULL,
    answer TEXT,
    error TEXT,
    detail TEXT NOT NULL,
    finish_reason TEXT,
    repost_prob REAL,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    cost REAL,
    served TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    latency REAL NOT NULL,
    prompt TEXT,
    -- Finds a row that was changed after it was written.
    digest TEXT NOT NULL,
    -- 1 for a failed call, never used, that is to be asked again.
    again INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (key)
) WITHOUT ROWID;
-- What was charged to the budget of all processes that share the file.
CREATE TABLE IF NOT EXISTS spent (
    one INTEGER PRIMARY KEY CHECK (one = 1), calls INTEGER NOT NULL, cost REAL NOT NULL
);
INSERT OR IGNORE INTO spent VALUES (1, 0, 0.0);
-- "lspr" tells in the file's header what the file is.
PRAGMA application_id = 1819504754;
PRAGMA user_version = 1
