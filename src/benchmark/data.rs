//! What the benchmark's own clusters hold.

use super::config::Sizes;
use super::error::BenchError;
use super::server::Server;

/// Rows as they are found in orders and logs: numbers that grow, times, words, codes that repeat, identifiers that
/// do not. gzip makes about a quarter of such a table.
const TEMPLATE: &str = "\
create table template as
select n as id,
       timestamptz '2026-01-01 00:00:00+00' + n * interval '1.37 seconds' as created,
       (random() * 200000)::int as customer,
       (array['new', 'paid', 'packed', 'shipped', 'returned', 'closed'])[1 + n % 6] as state,
       round((random() * 900)::numeric, 2) as amount,
       gen_random_uuid() as reference,
       (array['Lima', 'Oslo', 'Quito', 'Turin', 'Seoul', 'Cairo', 'Leeds', 'Osaka'])[1 + (random() * 7)::int]
           || ' ' || (1000 + (random() * 8999)::int) as address,
       (select string_agg((array['the', 'order', 'was', 'left', 'with', 'a', 'neighbour', 'on', 'Monday',
               'parcel', 'customer', 'asks', 'for', 'another', 'colour', 'and', 'pays', 'by', 'card',
               'please', 'ring', 'twice', 'before', 'noon', 'second', 'floor', 'invoice', 'follows'])
               [1 + (random() * 27)::int], ' ')
        from generate_series(1, 6 + n % 12)) as remark
from generate_series(1, 200000) n;
";

/// Makes a table of the template's rows with an index on each of two columns. The rows differ from table to table.
fn table(number: u32) -> String {
    format!(
        "create table orders_{number} as select id + {number} * 200000 as id, \
         created + {number} * interval '3 days' as created, (customer * {number} + id) % 300000 as customer, \
         state, amount * (1 + {number} % 7) as amount, gen_random_uuid() as reference, address, remark \
         from template order by id; \
         alter table orders_{number} add primary key (id); \
         create index on orders_{number} (customer); \
         create index on orders_{number} (reference);"
    )
}

/// How many rows a small table has: a page full of them, or two.
const SMALL_TABLE_ROWS: u32 = 60;

/// How many tables are created in a transaction: each is locked until its end.
const TABLES_AT_ONCE: u32 = 500;

/// A small table has its own file and one of its index.
const FILES_OF_SMALL_TABLE: u32 = 2;

/// Fills a cluster with ordinary tables until it has the size that is wanted.
///
/// # Errors
/// What the server said.
pub(super) fn fill(server: &Server<'_>, sizes: Sizes) -> Result<(), BenchError> {
    server.sql(TEMPLATE)?;
    for number in 1.. {
        server.sql(&table(number))?;
        if cluster_bytes(server)? >= sizes.cluster_bytes {
            break;
        }
    }
    server.sql("vacuum (freeze, analyze)").map(drop)
}

/// Fills a cluster with as many small files as are wanted.
///
/// # Errors
/// What the server said.
pub(super) fn fill_with_small_files(server: &Server<'_>, sizes: Sizes) -> Result<(), BenchError> {
    let tables = sizes.small_files / FILES_OF_SMALL_TABLE;
    for first in (1..=tables).step_by(TABLES_AT_ONCE as usize) {
        let last = tables.min(first + TABLES_AT_ONCE - 1);
        server.sql(&format!(
            "do $$ begin for i in {first}..{last} loop \
             execute format('create table small_%s (id int, code varchar(40), filled timestamptz)', i); \
             execute format('insert into small_%s select n, md5(n::text), now() \
             from generate_series(1, {SMALL_TABLE_ROWS} + %s %% 60) n', i, i); \
             execute format('create index on small_%s (id)', i); end loop; end $$"
        ))?;
    }
    Ok(())
}

/// Returns the size of all databases in bytes.
pub(super) fn cluster_bytes(server: &Server<'_>) -> Result<u64, BenchError> {
    let bytes = server.number("select sum(pg_database_size(oid)) from pg_database")?;
    Ok(bytes as u64)
}
