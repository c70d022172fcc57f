//! What can be wrong with the options of authentication.

/// A chain that cannot be: the server refuses to start, rather than let anybody in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// A value that an option cannot have.
    #[error("authentication module '{module}': '{value}' is no value for '{option}': {expected}")]
    BadValue {
        /// The module.
        module: String,
        /// Its option.
        option: String,
        /// The value, unless it is a secret.
        value: String,
        /// What it could be.
        expected: String,
    },
    /// A module that this build has not.
    #[error("authentication module '{module}' is not part of this build: build with `--features {feature}`")]
    FeatureMissing {
        /// The module.
        module: String,
        /// The feature of the build.
        feature: &'static str,
    },
    /// An option that has to be given.
    #[error("authentication module '{module}' needs '{option}': {hint}")]
    MissingOption {
        /// The module.
        module: String,
        /// Its option.
        option: &'static str,
        /// How to give it.
        hint: String,
    },
    /// Text that is not a module with options.
    #[error("'{0}' is not an authentication module: write NAME, or NAME:option=value,option=value")]
    Syntax(String),
    /// Something of this machine that the module cannot do without.
    #[error("authentication module '{module}' cannot be used: {reason}")]
    Unavailable {
        /// The module.
        module: String,
        /// What is missing, and what to do.
        reason: String,
    },
    /// Not the name of a module.
    #[error("there is no authentication module '{name}'{hint}; there are: {known}")]
    UnknownModule {
        /// The name.
        name: String,
        /// The nearest known one, as a question.
        hint: String,
        /// All of them.
        known: String,
    },
    /// An option the module has not.
    #[error("authentication module '{module}' has no option '{option}'{hint}; it has: {known}")]
    UnknownOption {
        /// The module.
        module: String,
        /// The option.
        option: String,
        /// The nearest known one, as a question.
        hint: String,
        /// All of them.
        known: String,
    },
}
