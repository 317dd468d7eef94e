//! Three servers that keep every record three times.

use serde_json::Value;

use crate::server::NatsServer;
use crate::wait::until;

/// A running cluster. Any one of its servers may be killed.
#[derive(Debug)]
pub struct NatsCluster {
    nodes: Vec<NatsServer>,
}

impl NatsCluster {
    /// A cluster with this configuration, beyond what makes it a cluster.
    #[must_use]
    pub fn with(config: &str) -> Self {
        let mut nodes: Vec<_> = (0..3).map(|_| NatsServer::prepare(config)).collect();
        let routes: Vec<_> = nodes.iter().map(NatsServer::route).collect();
        for (n, node) in nodes.iter_mut().enumerate() {
            node.join(&name(n), &routes);
            node.spawn();
        }
        nodes.iter_mut().for_each(NatsServer::become_ready);
        let cluster = Self { nodes };
        cluster.has_leader();
        cluster
    }

    /// The addresses of all servers.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(NatsServer::url).collect()
    }

    /// Its servers.
    #[must_use]
    pub fn nodes(&self) -> &[NatsServer] {
        &self.nodes
    }

    /// Ends one server as a crash does.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Starts one again.
    pub fn restart(&mut self, node: usize) {
        self.nodes[node].restart();
        self.has_leader();
    }

    /// Waits until one of the running servers leads JetStream, and knows that all of them follow it.
    fn has_leader(&self) {
        let running: Vec<_> =
            self.nodes.iter().enumerate().filter(|(_, node)| node.runs()).collect();
        until("the cluster has a leader", || {
            let cluster = |node: &NatsServer| Some(node.monitor("/jsz")?["meta_cluster"].take());
            let told: Vec<(String, Value)> = running
                .iter()
                .map(|(n, node)| Some((name(*n), cluster(node)?)))
                .collect::<Option<_>>()?;
            let leader = told[0].1["leader"].as_str()?;
            // The others know of themselves and of the leader only.
            let (_, known) = told.iter().find(|(name, _)| name == leader)?;
            let follows = |name: &str| {
                let mut replicas = known["replicas"].as_array().into_iter().flatten();
                replicas.any(|replica| replica["name"] == name && replica["current"] == true)
            };
            let agrees = |(name, told): &(String, Value)| {
                told["leader"] == leader && (name == leader || follows(name))
            };
            told.iter().all(agrees).then_some(())
        });
    }
}

/// What the server at this place is called.
fn name(node: usize) -> String {
    format!("n{node}")
}
