//! `restore --database`: recovery replays WAL of all databases, and those that were restored can be used.

use std::{os::unix::fs::MetadataExt, path::Path};

use anyhow::{Context, Result, ensure};
use xtask::{Postgres, Site, output, stdout};

xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    the_chosen_database_is_whole_and_recovery_passes_over_all_that_happened_to_the_others,
    a_name_that_no_database_has_is_refused_with_those_there_are,
);

/// The tables of each database: their files have every fork, and several kinds of index.
const TABLES: [&str; 6] = [
    "create table orders as select i as id, md5(i::text) as item, point(i, i) as place, array[i, i % 7] as tags \
     from generate_series(1, 20000) i",
    "create index on orders (id)",
    "create index on orders using hash (item)",
    "create index on orders using gist (place)",
    "create index on orders using gin (tags)",
    "create unlogged table sessions as select generate_series(1, 1000)",
];

/// What happens after the backup: everything that changes existing pages, truncates, rewrites or removes.
const CHANGES: [&str; 14] = [
    "update orders set item = md5(item) where id % 3 = 0",
    "delete from orders where id % 5 = 0",
    "vacuum (freeze) orders",
    "insert into orders select i, md5(i::text), point(i, i), array[i] from generate_series(20001, 60000) i",
    "checkpoint",
    "update orders set tags = tags || id where id % 11 = 0",
    "create index on orders using brin (id)",
    "create table short as select generate_series(1, 50000) as x",
    "truncate short",
    "create sequence numbers",
    "select nextval('numbers')",
    "alter table orders add column more int default 7",
    "vacuum full orders",
    "delete from orders where id > 50000",
];

fn the_chosen_database_is_whole_and_recovery_passes_over_all_that_happened_to_the_others(
    site: &Site,
) -> Result<()> {
    let server = &site.postgres;
    let [old, new] = ["old-space", "new-space"].map(|name| site.scratch.path().join(name));
    site.scratch.directory("old-space")?;
    server.sql(&format!("create tablespace fast location '{}'", old.display()))?;
    for statement in [
        "create database shop",
        "create database blog",
        "create database \"odd \"\"name\"\"\" tablespace fast",
        "create database short",
    ] {
        server.sql(statement)?;
    }
    for database in ["shop", "blog", "odd \"name\""] {
        run(server, database, &TABLES)?;
    }
    site.run(&["backup", "-c", "fast", "--method", "local"])?;
    for database in ["shop", "blog", "odd \"name\""] {
        run(server, database, &CHANGES)?;
    }
    run(server, "blog", &["alter table orders set tablespace fast", "vacuum full pg_class", "vacuum full"])?;
    for statement in [
        "drop database short",
        "create database blog2 template blog",
        "create database blog3 template \"odd \"\"name\"\"\" strategy file_copy",
        "create database shop2 template shop",
    ] {
        server.sql(statement)?;
    }
    let digest = "select count(*) || md5(string_agg(o::text, '' order by id)) from orders o";
    let rows = run(server, "shop", &[digest])?;
    let blog = oid(server, "blog")?;
    server.archive_all()?;

    let mapping = format!("{}={}", old.display(), new.display());
    let options = ["--database", "shop", "--tablespace-mapping", &mapping];
    let restored = site.restore("restored", "latest", &options)?;
    let size = used_bytes(&restored.data().join(format!("base/{blog}")))?;
    ensure!(size < 100_000, "the other database takes {size} bytes");
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.sql("show archive_mode")?, "off");
    for database in ["shop", "shop2"] {
        assert_eq!(run(&restored, database, &[digest])?, rows, "{database}");
        run(&restored, database, &["reindex table orders", "insert into orders (id) values (-1)"])?;
    }
    // vacuum full has rewritten all of blog; the other one refuses connections, which mustn't stop the server.
    assert!(run(&restored, "odd \"name\"", &["select 1"]).is_err());
    for database in ["blog", "\"odd \"\"name\"\"\"", "blog2", "blog3"] {
        restored.sql(&format!("drop database {database}"))?;
    }
    assert!(!restored.data().join(format!("base/{blog}")).exists());
    let log = restored.log()?;
    assert!(!log.contains("PANIC") && !log.contains("invalid page"), "{log}");
    Ok(())
}

fn a_name_that_no_database_has_is_refused_with_those_there_are(site: &Site) -> Result<()> {
    site.postgres.sql("create database shop")?;
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    let directory = site.scratch.path().join("restored");
    let data = directory.to_string_lossy();
    let refused = output(&mut site.command(&["restore", "latest", &data, "--database", "Shop"]))?;
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("no database 'Shop'") && told.contains("shop") && !directory.exists(), "{told}");

    let told = site.run(&["restore", "latest", &data, "--database", "postgres"])?;
    assert!(told.contains("DROP DATABASE \"shop\";"), "{told}");
    assert!(told.contains(" were fetched") && !told.contains("were there"), "{told}");
    Ok(())
}

/// Runs statements in a database, and returns what the last one gives.
fn run(server: &Postgres, database: &str, statements: &[&str]) -> Result<String> {
    let mut psql = server.client("psql");
    psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database]);
    for statement in statements {
        psql.args(["-c", statement]);
    }
    Ok(stdout(&mut psql)?.lines().last().unwrap_or_default().to_owned())
}

fn oid(server: &Postgres, database: &str) -> Result<u32> {
    let oid = server.sql(&format!("select oid from pg_database where datname = '{database}'"))?;
    oid.parse().context(oid)
}

/// Returns the space that the files in a directory take on disk.
fn used_bytes(directory: &Path) -> Result<u64> {
    directory.read_dir()?.map(|entry| Ok(entry?.metadata()?.blocks() * 512)).sum()
}
