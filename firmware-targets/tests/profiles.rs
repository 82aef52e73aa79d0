//! The built-in profiles are sound, and every broken one is refused with a reason and a hint.

use pinnace_firmware_targets::{Arch, DeviceProfile, EngineName, ProfileError, SwapPolicy, builtin, builtin_names};

const GATEWAY: &str = include_str!("../profiles/x86-gateway.toml");

#[test]
fn every_builtin_profile_parses_and_carries_its_own_name() {
    for name in builtin_names() {
        assert_eq!(builtin(name).unwrap().name, name);
    }
    let pi = builtin("rpi4-4g").unwrap();
    assert_eq!((pi.arch, pi.arch.as_str()), (Arch::Aarch64, "aarch64"));
    assert_eq!(pi.inference.engines, [EngineName::Tract, EngineName::Ort]);
    assert_eq!(pi.inference.swap, SwapPolicy::Availability);
    assert!(pi.allows(EngineName::Ort));
}

#[test]
fn two_models_share_the_agent_s_memory_unless_the_profile_says_otherwise() {
    let of = |from: &str, to: &str| DeviceProfile::parse(&GATEWAY.replacen(from, to, 1)).unwrap().model_memory_mib();
    assert_eq!(of("", ""), 256);
    assert_eq!(of("availability", "resource"), 512);
    assert_eq!(of("budget_ms = 20", "budget_ms = 20\nmemory_mib = 100"), 100);
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let message = builtin("toaster").unwrap_err().to_string();
    assert!(message.contains("`toaster`") && message.contains("x86-gateway, rpi4-4g"), "{message}");
}

#[test]
fn each_broken_value_is_refused_by_name_and_with_a_hint() {
    let cases = [
        ("name = \"x86-gateway\"", "name = \"X86\"", "`name`"),
        ("cores = 4", "cores = 0", "`cores`"),
        ("ram_mib = 8192", "ram_mib = 8", "`ram_mib`"),
        ("memory_mib = 512", "memory_mib = 9000", "`agent.memory_mib`"),
        ("cpu_quota_percent = 200", "cpu_quota_percent = 401", "`agent.cpu_quota_percent`"),
        ("budget_mb = 128", "budget_mb = 513", "`model.budget_mb`"),
        ("budget_ms = 20", "budget_ms = 0", "`model.budget_ms`"),
        ("budget_ms = 20", "budget_ms = 20\nmemory_mib = 513", "`model.memory_mib`"),
        ("threads = 2", "threads = 2\nproviders = [\"cpu\", \"cpu\"]", "`inference.providers`"),
        ("[\"ort\", \"tract\"]", "[]", "`inference.engines`"),
        ("[\"ort\", \"tract\"]", "[\"tract\", \"tract\"]", "`inference.engines`"),
        ("threads = 2", "threads = 5", "`inference.threads`"),
        ("max_inflight = 128", "max_inflight = 0", "`inference.max_inflight`"),
        ("free_mib = 2048", "free_mib = 255", "`storage.free_mib`"),
    ];
    for (from, to, field) in cases {
        assert!(GATEWAY.contains(from), "the case `{from}` no longer matches the profile");
        let message = DeviceProfile::parse(&GATEWAY.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(message.contains(field) && message.contains("\n  hint: "), "{to}: {message}");
    }
}

#[test]
fn what_is_no_profile_never_panics() {
    let unknown_field = format!("colour = \"red\"\n{GATEWAY}");
    let huge = "#".repeat(1 << 20);
    for text in ["", "\0", "name = ", "[[[", &unknown_field, &GATEWAY.replace("\"tract\"", "\"onnx\""), &GATEWAY[..90]]
    {
        assert!(matches!(DeviceProfile::parse(text), Err(ProfileError::Parse { .. })), "{text:?}");
    }
    assert!(matches!(DeviceProfile::parse(&huge), Err(ProfileError::TooLarge { .. })));
}
