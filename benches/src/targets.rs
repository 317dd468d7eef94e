//! From the text of a target to its hosts, in a controller that knows thousands; and its figures.

use std::fmt;
use std::time::Duration;

use osapi_core::job::Target;
use tokio::time::Instant;

use crate::error::Failure;
use crate::fleet::Fleet;
use crate::plan::Plan;
use crate::stats::Samples;
use crate::table::{Table, times};

/// What was measured, per target.
pub(crate) struct Targets {
    hosts: usize,
    /// Looking at every host once.
    walk: Samples,
    /// Counting what metrics say.
    figures: Samples,
    targets: Vec<Measured>,
}

struct Measured {
    what: &'static str,
    text: String,
    hosts: u32,
    samples: Samples,
}

/// Measures what resolving costs with the hosts of the plan.
///
/// # Errors
/// When a target means no host.
pub(crate) async fn measure(plan: &Plan) -> Result<Targets, Failure> {
    let fleet = Fleet::start(plan.hosts).await?;
    let mut targets = targets(&fleet);
    for measured in &mut targets {
        measured.hosts = fleet.count(&measured.text.parse()?).await?;
    }
    let (mut walk, mut figures) = (Samples::default(), Samples::default());
    for _ in 0..plan.rounds {
        walk.push(walk_once(&fleet));
        let begun = Instant::now();
        fleet.figures().await?;
        figures.push(begun.elapsed());
        for Measured { text, samples, .. } in &mut targets {
            let begun = Instant::now();
            let target: Target = text.parse()?;
            fleet.count(&target).await?;
            samples.push(begun.elapsed());
        }
    }
    fleet.controller.stop().await;
    Ok(Targets { hosts: plan.hosts, walk, figures, targets })
}

fn targets(fleet: &Fleet) -> Vec<Measured> {
    let measured = |what, text| Measured { what, text, hosts: 0, samples: Samples::default() };
    let names: Vec<_> = fleet.hosts.iter().take(400).map(|host| host.name.to_string()).collect();
    vec![
        measured("_all", "_all".to_owned()),
        measured("web-[..],db-*,!web-..", "web-[00001-09999],db-*,!web-00007".to_owned()),
        measured("group:web&env:prod", "group:web&env:prod".to_owned()),
        measured("400 names", names.join(",")),
        measured("500 globs that fail late", format!("web-*{}", ",*0*0*0z".repeat(500))),
    ]
}

/// What no evaluation can do without: looking at the name and the labels of every host.
fn walk_once(fleet: &Fleet) -> Duration {
    let begun = Instant::now();
    let looked_at: usize =
        fleet.hosts.iter().map(|host| host.name.as_str().len() + host.labels.iter().count()).sum();
    std::hint::black_box(looked_at);
    begun.elapsed()
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = format!("targets among {} hosts", self.hosts);
        let head = [what.as_str(), "p10", "median", "p90", "n", "hosts", "to limit"];
        let mut table = Table::new(&head);
        let limit = self.walk.summary().map_or(Duration::ZERO, |summary| summary.median);
        if let Some(summary) = self.walk.summary() {
            let rest = [self.hosts.to_string(), times(1.0)];
            table.measured("limit: look at every host", &summary, rest);
        }
        if let Some(summary) = self.figures.summary() {
            let rest = [self.hosts.to_string(), times(summary.times(limit))];
            table.measured("figures for metrics", &summary, rest);
        }
        for Measured { what, hosts, samples, .. } in &self.targets {
            let Some(summary) = samples.summary() else { continue };
            table.measured(what, &summary, [hosts.to_string(), times(summary.times(limit))]);
        }
        write!(f, "{table}")
    }
}
