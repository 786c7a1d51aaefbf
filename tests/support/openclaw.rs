//! Two versions of OpenClaw, their state, and changes that keep the newer one from starting.

/// The version before [`NEW`], with an older schema of the state.
pub const OLD: &str = "2026.9.4";
pub const NEW: &str = "2026.9.6";

/// Prints the rows of a statement.
pub const SQL: &str = "import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=60) as database:
    print(list(database.execute(sys.argv[2])))";

/// The version of the state.
pub const SCHEMA: &str = "SELECT schema_version FROM schema_meta";

/// Why the migration of the agent's database ends before it is complete.
pub const INCOMPLETE: &str = "this migration fails";

/// Lets that migration fail.
pub const FAIL_MIGRATION: &str = "file=$(echo /app/dist/openclaw-agent-db-maintenance-*.mjs) \
    && sed -i 's/db.exec(.PRAGMA user_version = .{targetVersion};.);/throw new Error(\"this migration fails\");/' $file \
    && grep -q 'this migration fails' $file";

/// Cuts the part of OpenClaw short that is loaded after the migrations.
pub const DAMAGE: &str = "truncate --size=1000 /app/dist/server-start-*.mjs";

/// OpenClaw's message about it.
pub const UNREADABLE: &str =
    "the gateway stopped (exit code 1): Gateway failed to start: Unexpected end of input";
