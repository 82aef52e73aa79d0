//! What a certificate may publish, subscribe to, and leave as a will: one rule for all brokers.

use pinnace_protocol::ids::TenantId;
use pinnace_protocol::topic::ROOT;

use super::topic::{check_filter, check_name, covers, is_shared, matches};
use crate::ca::Identity;

/// The topics one identity may use.
///
/// A device publishes (and leaves wills) only below its own `up`, and subscribes only to filters that
/// lie wholly within its own `down` and its tenant's `tuf` and `blob`. The plane does everything
/// below [`ROOT`]. Nobody uses `$` topics or shared subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    publish: Vec<String>,
    subscribe: Vec<String>,
}

/// Returns the filters a device of `tenant` may publish to and subscribe to, with `device` as text so
/// that a broker's own placeholder can stand there too.
pub(super) fn device_filters(tenant: &TenantId, device: &str) -> (Vec<String>, Vec<String>) {
    let publish = vec![format!("{ROOT}/{tenant}/d/{device}/up/#")];
    let subscribe = vec![
        format!("{ROOT}/{tenant}/d/{device}/down/#"),
        format!("{ROOT}/{tenant}/tuf/#"),
        format!("{ROOT}/{tenant}/blob/#"),
    ];
    (publish, subscribe)
}

/// Returns the filter of everything the plane may use.
pub(super) fn plane_filter() -> String {
    format!("{ROOT}/#")
}

impl Permissions {
    /// Returns what `identity` may do.
    pub fn of(identity: &Identity) -> Self {
        match identity {
            Identity::Plane => Self { publish: vec![plane_filter()], subscribe: vec![plane_filter()] },
            Identity::Device { tenant, device } => {
                let (publish, subscribe) = device_filters(tenant, device.as_str());
                Self { publish, subscribe }
            }
        }
    }

    /// Returns whether a message or a will may be published to `topic`; never for an invalid topic.
    pub fn may_publish(&self, topic: &str) -> bool {
        check_name(topic).is_ok() && self.publish.iter().any(|filter| matches(filter, topic))
    }

    /// Returns whether `filter` may be subscribed: everything it matches must be allowed. Never for an invalid or shared one.
    pub fn may_subscribe(&self, filter: &str) -> bool {
        check_filter(filter).is_ok()
            && !is_shared(filter)
            && self.subscribe.iter().any(|allowed| covers(allowed, filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinnace_protocol::ids::DeviceId;
    use pinnace_protocol::topic::{Down, Topic, Up, device_down_filter, plane_up_filter};
    use proptest::prelude::*;

    fn device(tenant: &str, device: &str) -> Permissions {
        let (tenant, device) = (TenantId::parse(tenant).unwrap(), DeviceId::parse(device).unwrap());
        Permissions::of(&Identity::Device { tenant, device })
    }

    #[test]
    fn a_device_keeps_to_its_own_rooms() {
        let p = device("acme", "d1");
        for topic in ["pn/v1/acme/d/d1/up/hello", "pn/v1/acme/d/d1/up/window", "pn/v1/acme/d/d1/up/a/b"] {
            assert!(p.may_publish(topic), "{topic}");
        }
        for topic in [
            "pn/v1/acme/d/d2/up/hello",
            "pn/v1/other/d/d1/up/hello",
            "pn/v1/acme/d/d1/down/director",
            "pn/v1/acme/tuf/root",
            "pn/v1/acme/blob/x/c",
            "pn/v1/acme/d/d1/up/#",
            "pn/v1/acme/d/+/up/hello",
            "pn/v1/acme/d/d1/upper",
            "pn/v2/acme/d/d1/up/hello",
            "$SYS/x",
            "/pn/v1/acme/d/d1/up/hello",
            "",
        ] {
            assert!(!p.may_publish(topic), "{topic}");
        }
        for filter in [
            "pn/v1/acme/d/d1/down/#",
            "pn/v1/acme/d/d1/down/+",
            "pn/v1/acme/d/d1/down/director",
            "pn/v1/acme/tuf/#",
            "pn/v1/acme/tuf/+",
            "pn/v1/acme/blob/+/c",
        ] {
            assert!(p.may_subscribe(filter), "{filter}");
        }
        for filter in [
            "#",
            "+",
            "+/#",
            "pn/#",
            "pn/v1/#",
            "pn/v1/acme/#",
            "pn/v1/acme/+",
            "pn/v1/acme/d/#",
            "pn/v1/acme/d/+/down/#",
            "pn/v1/acme/d/d2/down/#",
            "pn/v1/acme/d/d1/#",
            "pn/v1/acme/d/d1/+/#",
            "pn/v1/acme/d/d1/up/#",
            "pn/v1/+/d/d1/down/#",
            "pn/+/acme/d/d1/down/#",
            "+/v1/acme/d/d1/down/#",
            "pn/v1/other/tuf/#",
            "pn/v1/+/tuf/#",
            "pn/v1/acme/+/#",
            "$share/g/pn/v1/acme/tuf/#",
            "$SHARE/g/pn/v1/acme/tuf/#",
            "$SYS/#",
            "",
        ] {
            assert!(!p.may_subscribe(filter), "{filter}");
        }
    }

    #[test]
    fn every_topic_of_the_scheme_is_allowed_to_whom_it_concerns_and_to_nobody_else() {
        let (t, d) = (TenantId::parse("acme").unwrap(), DeviceId::parse("d1").unwrap());
        let (me, other, plane) = (device("acme", "d1"), device("acme", "d2"), Permissions::of(&Identity::Plane));
        for kind in Up::ALL {
            let topic = Topic::Up(t.clone(), d.clone(), kind).to_text();
            assert!(
                me.may_publish(&topic) && plane.may_subscribe(&topic) && plane.may_subscribe(&plane_up_filter(kind))
            );
            assert!(!me.may_subscribe(&topic) && !other.may_publish(&topic) && !other.may_subscribe(&topic));
        }
        for kind in Down::ALL {
            let topic = Topic::Down(t.clone(), d.clone(), kind).to_text();
            assert!(me.may_subscribe(&topic) && plane.may_publish(&topic));
            assert!(!me.may_publish(&topic) && !other.may_publish(&topic) && !other.may_subscribe(&topic));
        }
        assert!(me.may_subscribe(&device_down_filter(&t, &d)));
        assert!(!plane.may_subscribe("#") && !plane.may_publish("$SYS/x") && !plane.may_subscribe("$share/g/pn/v1/#"));
    }

    proptest! {
        /// Whatever a device manages to subscribe to, it never matches a topic of another device or tenant.
        #[test]
        fn no_filter_reaches_another_device(
            levels in proptest::collection::vec(
                prop_oneof![Just("pn"), Just("v1"), Just("acme"), Just("other"), Just("d"), Just("d1"), Just("d2"),
                    Just("up"), Just("down"), Just("tuf"), Just("+"), Just("#"), Just(""), Just("$share")], 1..8),
            rest in "[a-z/]{0,6}",
        ) {
            let p = device("acme", "d1");
            let filter = levels.join("/");
            let topics = [
                "pn/v1/acme/d/d2/down/director", "pn/v1/acme/d/d2/up/hello", "pn/v1/acme/d/d1/up/hello",
                "pn/v1/other/d/d1/down/director", "pn/v1/other/tuf/root", "pn/v1/acme", "pn/v1/acme/d",
            ];
            if p.may_subscribe(&filter) {
                for topic in topics {
                    prop_assert!(!matches(&filter, topic), "{} {}", filter, topic);
                }
            }
            let topic = format!("{filter}/{rest}");
            prop_assert!(!p.may_publish(&topic) || topic.starts_with("pn/v1/acme/d/d1/up/"));
        }
    }
}
