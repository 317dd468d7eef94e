//! Figures as metrics, in the text format of OpenMetrics 1.0. Their names are a promise, like those of the API.
//!
//! Nothing that there may be many of is a label: there are as many lines for 10 hosts as for 10,000.

use std::fmt;

use osapi_core::api::types::Durability;
use osapi_core::controller::Figures;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// What every name begins with.
const PREFIX: &str = "osapi";

/// The text.
pub(crate) fn text(figures: Figures) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Snapshot(figures)));
    let mut written = String::new();
    text::encode(&mut written, &registry)?;
    Ok(written)
}

/// Figures of one moment.
#[derive(Debug)]
struct Snapshot(Figures);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let figures = &self.0;
        let flag = |is_so: bool| u64::from(is_so);
        let mut page = Page(encoder);
        page.gauges("build_info", "The build of the server", "version", [(figures.version, 1)])?;
        page.gauge("ready", "Whether the server takes requests", flag(figures.ready))?;
        page.gauge("store_up", "Whether the store can be used", flag(figures.store_up))?;
        page.gauge("bus_up", "Whether the bus can be reached", flag(figures.bus_up))?;
        let what = "Whether the store went back in time and nobody has accepted that";
        page.gauge("store_rolled_back", what, flag(figures.rolled_back))?;
        let what = "Whether what the store has answered survives a power cut: 1 for what is so";
        let durability = Durability::ALL.map(|one| (one.as_str(), flag(one == figures.durability)));
        page.gauges("store_durability", what, "durability", durability)?;
        page.gauge("key_ring_serial", "Serial of the key ring", figures.ring_serial)?;
        let agents = figures.agents.map(|(state, count)| (state.as_str(), count.into()));
        page.gauges("agents", "Registered agents", "state", agents)?;
        let what = "What the broker has denied all agents together, as each said last";
        page.gauge("agents_denials", what, figures.agents_denied)?;
        let jobs = figures.jobs.map(|(status, count)| (status.as_str(), count.into()));
        page.gauges("jobs", "Jobs that are kept", "status", jobs)?;
        let what = "Reports that this server has stored since it began";
        page.counter("reports_stored", what, figures.reports_stored)?;
        let what = "What the broker has denied this server since it began";
        page.counter("denials", what, figures.denials)
    }
}

/// Where metrics are written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// One that goes up and down.
    fn gauge(&mut self, name: &str, what: &str, value: u64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, what, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }

    /// One that goes up and down, for each value of a label.
    fn gauges<'v>(
        &mut self,
        name: &str,
        what: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, what, None, MetricType::Gauge)?;
        for (word, value) in values {
            ConstGauge::new(value).encode(metric.encode_family(&[(label, word)])?)?;
        }
        Ok(())
    }

    /// One that only goes up, until the server begins anew. `_total` is added to its name.
    fn counter(&mut self, name: &str, what: &str, value: u64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, what, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use osapi_core::api::types::AgentState;
    use osapi_core::job::JobStatus;

    use super::*;

    #[test]
    fn names_labels_and_form_stay_as_they_are() {
        let figures = Figures {
            version: "0.1.0",
            store_up: true,
            bus_up: false,
            ready: true,
            rolled_back: false,
            durability: Durability::Unsynced,
            agents: AgentState::ALL.map(|state| (state, 10)),
            agents_denied: u64::MAX,
            jobs: JobStatus::ALL.map(|status| (status, 100)),
            reports_stored: 7,
            denials: 3,
            ring_serial: 2,
        };
        assert_eq!(text(figures).unwrap(), include_str!("metrics.txt"));
    }
}
