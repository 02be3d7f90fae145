//! Starting out as one of many that know each other, as if all had joined long ago.
//!
//! Joining fills each view with all nodes: among ten thousand members these are a hundred million records, of some
//! 260 bytes each. A simulation that is not about joining does without. One view is made that holds everybody,
//! each member takes it over, and a record is in memory once until a member changes it in its own view. From there
//! on nothing is special: it is the state of a settled cluster, except that no node has been heard or measured yet.

use super::Protocol;
use super::core::Timer;
use super::membership::Members;
use super::time::Instant;
use crate::wire::NameHash;

impl Protocol {
    /// The view that these members would have if they knew each other.
    ///
    /// # Errors
    ///
    /// Why they can not have one view, in words: they are of several clusters, some know another node already, their
    /// lists differ, or there are too many.
    pub(crate) fn common_view<'a>(
        now: Instant,
        members: impl Iterator<Item = &'a Self> + Clone,
    ) -> Result<Members, String> {
        let Some(first) = members.clone().next() else {
            return Err("there is nobody".to_owned());
        };
        let nodes_max =
            members.clone().map(|member| member.core.settings.max_nodes).min().unwrap_or_default();
        let mut view = Members::new(first.core.tag, nodes_max, now);
        for member in members {
            let name = &member.core.settings.name;
            if member.core.tag != first.core.tag {
                return Err(format!("{name} and {} are of two clusters", first.core.settings.name));
            }
            if member.core.members.iter().len() > 1 {
                return Err(format!("{name} knows somebody already"));
            }
            if member.core.settings.allow != first.core.settings.allow
                || !first.core.takes(&member.core.own_record())
            {
                return Err(format!("{name} is not on the lists of {}", first.core.settings.name));
            }
            if view.ring().len() == nodes_max {
                return Err(format!("there are more than max_nodes, which is {nodes_max}"));
            }
            view.merge_alive(now, NameHash::of(member.core.tag, name), &member.core.own_record());
        }
        Ok(view)
    }

    /// Takes over a view that holds this member, too. It reports no nodes to users.
    pub(crate) fn adopt_view(&mut self, now: Instant, view: &Members) {
        self.core.members.adopt(now, view);
        self.detection.has_company(&mut self.core, now);
        self.sync.set_synced();
        self.core.timers.set_earliest(Timer::Isolation, now + self.core.settings.isolation_timeout);
    }
}
