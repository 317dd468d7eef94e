//! Three servers that keep every record three times.

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
            node.join(&format!("n{n}"), &routes);
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

    /// Waits until one of the running servers leads JetStream and all have joined it.
    fn has_leader(&self) {
        until("the cluster has a leader", || {
            let leads = |node: &NatsServer| {
                let answer = node.monitor("/jsz")?;
                let leader = answer["meta_cluster"]["leader"].as_str()?.to_owned();
                let size = answer["meta_cluster"]["cluster_size"].as_u64()?;
                (size == 3 && !leader.is_empty()).then_some(leader)
            };
            let leaders: Vec<_> =
                self.nodes.iter().filter(|node| node.runs()).map(leads).collect::<Option<_>>()?;
            leaders.windows(2).all(|two| two[0] == two[1]).then_some(())
        });
    }
}
