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
        let mut nodes: Vec<NatsServer> = Vec::new();
        for n in 1..=3 {
            let name = format!("n{n}");
            let mut more = vec!["--name", &name, "--cluster_name", "c"];
            more.extend(["--cluster", "nats://{host}:{cluster}"]);
            let mut more: Vec<String> = more.into_iter().map(ToOwned::to_owned).collect();
            // The later ones tell the earlier ones of each other.
            let routes: Vec<_> = nodes.iter().map(NatsServer::route).collect();
            if !routes.is_empty() {
                more.extend(["--routes".into(), routes.join(",")]);
            }
            let mut node = NatsServer::prepare(config, &more);
            node.spawn();
            nodes.push(node);
        }
        let mut cluster = Self { nodes };
        for node in &mut cluster.nodes {
            node.become_ready();
        }
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
        let routes: Vec<_> = self.nodes.iter().map(NatsServer::route).collect();
        self.nodes[node].route_to(&routes);
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
