//! The schema of a device profile, its rules, and the profiles that are built in.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ProfileError;
use crate::limits;

const BUILTIN: [(&str, &str); 2] = [
    ("x86-gateway", include_str!("../profiles/x86-gateway.toml")),
    ("rpi4-4g", include_str!("../profiles/rpi4-4g.toml")),
];

/// One class of hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProfile {
    /// Name as used in bundles, rollouts and reports, e.g. `rpi4-4g`.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// The processor's architecture.
    pub arch: Arch,
    /// CPU features that may be relied on, by Rust's names, e.g. `avx2`.
    #[serde(default)]
    pub cpu_features: Vec<String>,
    /// CPU cores.
    pub cores: u32,
    /// Memory of the whole device, MiB.
    pub ram_mib: u32,
    /// What the agent may take.
    pub agent: AgentBudget,
    /// What one model may take.
    pub model: ModelBudget,
    /// How inference runs.
    pub inference: Inference,
    /// Where the agent keeps its state.
    pub storage: Storage,
}

/// Processor architectures, by Rust's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
}

impl Arch {
    /// Returns Rust's name, as in `std::env::consts::ARCH`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
            Self::Riscv64 => "riscv64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the agent may take of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentBudget {
    /// Memory of the agent with its models, MiB.
    pub memory_mib: u32,
    /// CPU time, percent of one core; 200 is two cores.
    pub cpu_quota_percent: u32,
}

/// What one model may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelBudget {
    /// Size of its file, megabytes.
    pub budget_mb: u32,
    /// Time of one inference, p95, milliseconds.
    pub budget_ms: u32,
    /// Memory that it may take once loaded, MiB; when left out, see [`DeviceProfile::model_memory_mib`].
    #[serde(default)]
    pub memory_mib: Option<u32>,
}

/// The engines that the agent has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// Built in, pure Rust.
    Tract,
    /// ONNX Runtime, a library found at run time.
    Ort,
}

impl EngineName {
    /// Returns the word used in manifests and profiles.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tract => "tract",
            Self::Ort => "ort",
        }
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What ONNX Runtime computes with; each must be in the library that is found, else the CPU does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The CPU, ONNX Runtime's own code: always there.
    Cpu,
    /// The CPU, XNNPACK's code: for Arm.
    Xnnpack,
    /// Intel's CPUs, graphics and NPUs.
    OpenVino,
    /// NVIDIA's graphics.
    Cuda,
}

impl Provider {
    /// Returns the word used in profiles.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Xnnpack => "xnnpack",
            Self::OpenVino => "openvino",
            Self::Cuda => "cuda",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a new model takes over from the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SwapPolicy {
    /// Both are in memory for a moment; no request is refused.
    Availability,
    /// The old one is unloaded first; requests are refused for a moment.
    Resource,
}

/// How inference runs on the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// Engines to use when a bundle allows several, best first.
    pub engines: Vec<EngineName>,
    /// What ONNX Runtime computes with, best first; the CPU alone when left out.
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// Inference threads.
    pub threads: u32,
    /// Requests that wait or run at the same time; more are refused with 429.
    pub max_inflight: u32,
    /// How a new model takes over.
    pub swap: SwapPolicy,
}

/// What the state lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageMedium {
    /// Solid-state disk.
    Ssd,
    /// Soldered flash with a controller.
    Emmc,
    /// SD card: wears out and lies about flushing.
    SdCard,
    /// Raw flash.
    Nand,
}

/// The stores that a ledger can lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerStore {
    /// sled: 20 MB of memory, many small commits.
    Sled,
    /// redb: little memory.
    Redb,
}

/// Where the agent keeps its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// What it lies on.
    pub medium: StorageMedium,
    /// Space the agent may fill, MiB: two bundle slots and the ledger.
    pub free_mib: u32,
    /// Store of the ledger.
    pub ledger: LedgerStore,
    /// The log on disk, MiB; the oldest lines are dropped first.
    pub log_mib: u32,
}

/// Returns the profile of that name.
///
/// # Errors
/// [`ProfileError::Unknown`] with the names that exist.
pub fn builtin(name: &str) -> Result<DeviceProfile, ProfileError> {
    let text = BUILTIN.iter().find(|(known, _)| *known == name).map(|(_, text)| text);
    match text {
        Some(text) => DeviceProfile::parse(text),
        None => Err(ProfileError::Unknown { name: name.into(), known: builtin_names().collect::<Vec<_>>().join(", ") }),
    }
}

/// Returns the names of all profiles that are built in.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}

impl DeviceProfile {
    /// Reads and checks the TOML of a profile.
    ///
    /// # Errors
    /// [`ProfileError`] when it is too large, does not parse, or breaks a rule.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        if text.len() > limits::PROFILE_MAX_BYTES {
            return Err(ProfileError::TooLarge { bytes: text.len() });
        }
        let profile: Self =
            toml::from_str(text).map_err(|e| ProfileError::Parse { why: e.to_string().trim_end().into() })?;
        profile.check()?;
        Ok(profile)
    }

    /// Returns whether the profile lets `engine` run.
    pub fn allows(&self, engine: EngineName) -> bool {
        self.inference.engines.contains(&engine)
    }

    /// Returns the memory that one loaded model may take, MiB: what the profile says, else all that the agent may take,
    /// or half of it when an old and a new model are in memory together (swap by availability).
    pub fn model_memory_mib(&self) -> u32 {
        let shared = match self.inference.swap {
            SwapPolicy::Availability => self.agent.memory_mib / 2,
            SwapPolicy::Resource => self.agent.memory_mib,
        };
        self.model.memory_mib.unwrap_or(shared)
    }

    fn check(&self) -> Result<(), ProfileError> {
        let fail = |field, why: String, hint| {
            Err(ProfileError::Invalid {
                profile: self.name.chars().take(limits::NAME_MAX_BYTES).collect(),
                field,
                why,
                hint,
            })
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.name.is_empty() || self.name.len() > limits::NAME_MAX_BYTES || !self.name.bytes().all(plain) {
            return fail(
                "name",
                "is not a plain identifier".into(),
                "use 1 to 63 characters of a-z, 0-9 and -, e.g. `rpi4-4g`",
            );
        }
        if !(1..=limits::CORES_MAX).contains(&self.cores) {
            return fail("cores", format!("{} is not in 1..={}", self.cores, limits::CORES_MAX), "count the CPU cores");
        }
        if self.ram_mib < limits::AGENT_MIN_MIB || self.ram_mib > limits::RAM_MAX_MIB {
            return fail(
                "ram_mib",
                format!("{} is not in {}..={}", self.ram_mib, limits::AGENT_MIN_MIB, limits::RAM_MAX_MIB),
                "give the device's memory in MiB, e.g. 4096",
            );
        }
        if self.agent.memory_mib < limits::AGENT_MIN_MIB || self.agent.memory_mib > self.ram_mib {
            return fail(
                "agent.memory_mib",
                format!("{} is not in {}..={} (ram_mib)", self.agent.memory_mib, limits::AGENT_MIN_MIB, self.ram_mib),
                "leave the rest of the memory to the application",
            );
        }
        if !(1..=self.cores * 100).contains(&self.agent.cpu_quota_percent) {
            return fail(
                "agent.cpu_quota_percent",
                format!("{} is not in 1..={}", self.agent.cpu_quota_percent, self.cores * 100),
                "100 is one core; at most all cores",
            );
        }
        if self.model.budget_mb == 0 || self.model.budget_mb > self.agent.memory_mib {
            return fail(
                "model.budget_mb",
                format!("{} is not in 1..={} (agent.memory_mib)", self.model.budget_mb, self.agent.memory_mib),
                "a model must fit into the agent's memory",
            );
        }
        if !(1..=self.agent.memory_mib).contains(&self.model_memory_mib()) {
            return fail(
                "model.memory_mib",
                format!("{} is not in 1..={} (agent.memory_mib)", self.model_memory_mib(), self.agent.memory_mib),
                "a model must fit into the agent's memory; leave it out to share that between two models",
            );
        }
        if !(1..=limits::BUDGET_MAX_MS).contains(&self.model.budget_ms) {
            return fail(
                "model.budget_ms",
                format!("{} is not in 1..={}", self.model.budget_ms, limits::BUDGET_MAX_MS),
                "give the time one inference may take, in milliseconds",
            );
        }
        let engines = &self.inference.engines;
        let repeated = engines.iter().enumerate().any(|(i, e)| engines[..i].contains(e));
        let providers = &self.inference.providers;
        if providers.iter().enumerate().any(|(i, p)| providers[..i].contains(p)) {
            return fail("inference.providers", "names one twice".into(), "list each provider once, best first");
        }
        if engines.is_empty() || repeated {
            return fail(
                "inference.engines",
                "is empty or names an engine twice".into(),
                "list `tract`, `ort` or both, best first",
            );
        }
        if !(1..=limits::THREADS_MAX.min(self.cores)).contains(&self.inference.threads) {
            return fail(
                "inference.threads",
                format!("{} is not in 1..={}", self.inference.threads, limits::THREADS_MAX.min(self.cores)),
                "use at most one thread per core",
            );
        }
        if !(1..=limits::INFLIGHT_MAX).contains(&self.inference.max_inflight) {
            return fail(
                "inference.max_inflight",
                format!("{} is not in 1..={}", self.inference.max_inflight, limits::INFLIGHT_MAX),
                "64 suits most devices",
            );
        }
        if !(1..=limits::LOG_MAX_MIB).contains(&self.storage.log_mib) {
            return fail(
                "storage.log_mib",
                format!("{} is not in 1..={}", self.storage.log_mib, limits::LOG_MAX_MIB),
                "8 suits most devices",
            );
        }
        if self.storage.free_mib < 2 * self.model.budget_mb {
            return fail(
                "storage.free_mib",
                format!("{} cannot hold two bundles of {} MB", self.storage.free_mib, self.model.budget_mb),
                "two slots are needed: the running bundle is never overwritten",
            );
        }
        Ok(())
    }
}
