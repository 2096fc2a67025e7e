//! Sample events of the providers that have more than the one in their catalogue entry.
//!
//! Data alone, byte for byte as it goes over the wire; `samples/NAME/README.md` says where each comes from. Must never hold
//! a real person's data.

/// One provider's events, by type, sorted.
type Events = &'static [(&'static str, &'static str)];

/// Providers with several samples, sorted.
const SAMPLES: &[(&str, Events)] = &[("clerk", CLERK)];

const CLERK: Events = &[
    ("email.created", include_str!("samples/clerk/email.created.json")),
    ("organization.created", include_str!("samples/clerk/organization.created.json")),
    ("organization.deleted", include_str!("samples/clerk/organization.deleted.json")),
    ("organization.updated", include_str!("samples/clerk/organization.updated.json")),
    ("organizationInvitation.accepted", include_str!("samples/clerk/organizationInvitation.accepted.json")),
    ("organizationInvitation.created", include_str!("samples/clerk/organizationInvitation.created.json")),
    ("organizationInvitation.revoked", include_str!("samples/clerk/organizationInvitation.revoked.json")),
    ("organizationMembership.created", include_str!("samples/clerk/organizationMembership.created.json")),
    ("organizationMembership.deleted", include_str!("samples/clerk/organizationMembership.deleted.json")),
    ("organizationMembership.updated", include_str!("samples/clerk/organizationMembership.updated.json")),
    ("permission.created", include_str!("samples/clerk/permission.created.json")),
    ("permission.deleted", include_str!("samples/clerk/permission.deleted.json")),
    ("permission.updated", include_str!("samples/clerk/permission.updated.json")),
    ("role.created", include_str!("samples/clerk/role.created.json")),
    ("role.deleted", include_str!("samples/clerk/role.deleted.json")),
    ("role.updated", include_str!("samples/clerk/role.updated.json")),
    ("session.created", include_str!("samples/clerk/session.created.json")),
    ("session.ended", include_str!("samples/clerk/session.ended.json")),
    ("session.removed", include_str!("samples/clerk/session.removed.json")),
    ("session.revoked", include_str!("samples/clerk/session.revoked.json")),
    ("sms.created", include_str!("samples/clerk/sms.created.json")),
    ("user.created", include_str!("samples/clerk/user.created.json")),
    ("user.deleted", include_str!("samples/clerk/user.deleted.json")),
    ("user.updated", include_str!("samples/clerk/user.updated.json")),
];

/// The sample events of a provider: type and body. Empty for one that has only the `sample` of its entry.
pub fn of(provider: &str) -> Events {
    SAMPLES.iter().find(|(name, _)| *name == provider).map(|(_, events)| *events).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Catalog;

    #[test]
    fn every_sample_is_compact_json_of_the_type_that_it_is_listed_under() {
        let catalog = Catalog::load().unwrap();
        for (provider, events) in SAMPLES {
            assert!(catalog.get(provider).is_some(), "{provider}");
            assert!(events.is_sorted_by_key(|(name, _)| name), "{provider}");
            for (name, body) in *events {
                let value: serde_json::Value = serde_json::from_str(body).unwrap();
                assert_eq!(value["type"], *name);
                assert!(!body.contains('\n') && !body.contains("\": "), "{name}");
            }
        }
        assert_eq!(of("clerk").len(), 24);
        assert!(of("github").is_empty());
    }
}
