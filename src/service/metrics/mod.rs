//! Metrics for Prometheus, as [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) text.
//!
//! They are read from the board when they are asked for, so that nothing is shown of a server that is gone. What is
//! not known is absent. The known labels of a counter begin at 0, so that its first step is seen; those that go on from
//! earlier runs are absent until these are known.
//!
//! A WAL position is a number of bytes: the difference of two is what lies between them. A moment is in seconds since
//! 1970, as in Prometheus' own `time()`.

mod families;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{self, DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use self::families::{FAMILIES, Family, Sample, Value};
use super::state::Board;
use super::status::ServerStatus;
use crate::wal::SyncTimes;

/// The type of what [`text`] returns.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns the metrics of all servers, as OpenMetrics text.
pub fn text(board: &Arc<Board>) -> String {
    let mut registry = Registry::with_prefix("pgsiphon");
    registry.register_collector(Box::new(Servers(Arc::clone(board))));
    let mut text = String::new();
    encoding::text::encode(&mut text, &registry).expect("a string takes all that is written");
    text
}

#[derive(Debug)]
struct Servers(Arc<Board>);

impl Collector for Servers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode_build(&mut encoder)?;
        let servers = self.0.servers();
        let statuses: Vec<ServerStatus> = servers.iter().map(|state| state.status()).collect();
        for family in FAMILIES {
            encode_family(&mut encoder, family, &statuses)?;
        }
        let mut metric = encoder.encode_descriptor(
            "fsync_duration",
            "How long syncs of WAL files took",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (state, status) in servers.iter().zip(&statuses) {
            encode_sync_times(&mut metric, &status.name, state.sync_times())?;
        }
        Ok(())
    }
}

fn encode_build(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "The program that runs";
    let mut metric = encoder.encode_descriptor("build", help, None, MetricType::Info)?;
    metric.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
}

fn encode_family(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family,
    statuses: &[ServerStatus],
) -> fmt::Result {
    let (unit, kind) = (family.unit.as_ref(), family.kind);
    let mut metric = encoder.encode_descriptor(family.name, family.help, unit, kind)?;
    for status in statuses {
        for Sample { label, value } in (family.samples)(status) {
            let server = ("server", status.name.clone());
            let labels: Vec<_> = [server].into_iter().chain(label).collect();
            encode_value(&mut metric.encode_family(&labels)?, value)?;
        }
    }
    Ok(())
}

fn encode_value(metric: &mut MetricEncoder<'_>, value: Value) -> fmt::Result {
    match value {
        Value::Counted(count) => metric.encode_counter::<NoLabelSet, u64, u64>(&count, None),
        Value::Whole(number) => metric.encode_gauge(&number),
        Value::Signed(number) => metric.encode_gauge(&number),
        Value::Real(number) => metric.encode_gauge(&number),
    }
}

fn encode_sync_times(
    metric: &mut MetricEncoder<'_>,
    server: &str,
    times: &SyncTimes,
) -> fmt::Result {
    let ranges = times.ranges();
    let count = ranges.iter().map(|(_, count)| count).sum();
    let labels = [("server", server)];
    let mut metric = metric.encode_family(&labels)?;
    metric.encode_histogram::<NoLabelSet>(times.total_seconds(), count, &ranges, None)
}
