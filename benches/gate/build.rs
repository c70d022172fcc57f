//! Both builds, made in one place: a build's path is part of its symbols' names and so of where its code lies, and
//! with it of its speed. Equal sources give the same bytes here, so comparing them compares nothing but noise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Where sources are checked out and programs kept, below cargo's target directory.
#[derive(Debug)]
pub(crate) struct Workshop {
    target: PathBuf,
    git_dir: PathBuf,
}

/// Sources of some time, and the programs made of them.
#[derive(Debug)]
pub(crate) struct Build {
    /// The name in git of all its files.
    pub(crate) tree: String,
    pub(crate) scoreboard: String,
    /// `twins.rs`, if there is one.
    pub(crate) twins: Option<PathBuf>,
    /// `sim/tool.rs`.
    sim: PathBuf,
}

impl Workshop {
    pub(crate) fn open() -> Result<Self> {
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        Ok(Self {
            target: temporary.parent().context("the target directory")?.to_owned(),
            git_dir: git(&["rev-parse", "--absolute-git-dir"], &[])?.into(),
        })
    }

    fn gate(&self) -> PathBuf {
        self.target.join("gate")
    }

    fn sources(&self) -> PathBuf {
        self.gate().join("sources")
    }

    /// The tree of a commit.
    pub(crate) fn tree_of(&self, commit: &str) -> Result<String> {
        git(
            &[
                "rev-parse",
                "--verify",
                "--end-of-options",
                &format!("{commit}^{{tree}}"),
            ],
            &[],
        )
    }

    /// The tree of the files as they are, those not yet added too. The index is one of our own.
    pub(crate) fn working_tree(&self) -> Result<String> {
        fs::create_dir_all(self.gate())?;
        let index = self.gate().join("index-now");
        let index = [("GIT_INDEX_FILE", index.as_path())];
        git(&["read-tree", "HEAD"], &index)?;
        git(&["add", "--all"], &index)?;
        git(&["write-tree"], &index)
    }

    /// Checks a tree out and builds it, unless that was done before.
    pub(crate) fn build(&self, tree: &str) -> Result<Build> {
        let sources = self.sources();
        fs::create_dir_all(&sources)?;
        let index = self.gate().join("index-sources");
        let place = [
            ("GIT_INDEX_FILE", index.as_path()),
            ("GIT_DIR", self.git_dir.as_path()),
            ("GIT_WORK_TREE", sources.as_path()),
        ];
        git(&["read-tree", "--reset", "-u", tree], &place)?;
        let scoreboard = fs::read_to_string(sources.join("sim/scoreboard.txt")).unwrap_or_default();
        let has_twins = sources.join("benches/twins.rs").exists();
        let kept = self.gate().join(tree);
        let programs = [kept.join("sim"), kept.join("twins")];
        if !kept.exists() {
            let targets: &[&str] = if has_twins { &["sim", "twins"] } else { &["sim"] };
            let made = self.cargo(targets)?;
            let unfinished = self.gate().join("unfinished");
            fs::create_dir_all(&unfinished)?;
            for (name, program) in targets.iter().zip(made) {
                fs::copy(program, unfinished.join(name))?;
            }
            fs::rename(unfinished, &kept)?;
        }
        let [sim, twins] = programs;
        Ok(Build {
            tree: tree.to_owned(),
            scoreboard,
            twins: has_twins.then_some(twins),
            sim,
        })
    }

    /// Builds these examples and benches of the sources and tells where they are.
    fn cargo(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let mut command = Command::new("cargo");
        command
            .args([
                "build",
                "--release",
                "--locked",
                "--message-format=json-render-diagnostics",
            ])
            .args(
                names
                    .iter()
                    .flat_map(|name| [if *name == "sim" { "--example" } else { "--bench" }, name]),
            )
            .current_dir(self.sources())
            .env("CARGO_TARGET_DIR", &self.target)
            .stderr(Stdio::inherit());
        let output = command.output().context("starting cargo")?;
        ensure!(output.status.success(), "it cannot be built");
        let messages = String::from_utf8(output.stdout)?;
        let made: Vec<serde_json::Value> = messages
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        names
            .iter()
            .map(|name| {
                let path = made.iter().find_map(|message| {
                    let is_it = message.pointer("/target/name")?.as_str()? == *name;
                    Some(PathBuf::from(
                        message.get("executable")?.as_str().filter(|_| is_it)?,
                    ))
                });
                path.with_context(|| format!("cargo did not say where {name} is"))
            })
            .collect()
    }

    /// Plays the simulated sessions anew; the sources must be those of `build`.
    pub(crate) fn play(&self, build: &Build) -> Result<String> {
        let status = Command::new(&build.sim)
            .arg("--scoreboard")
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "the simulation failed");
        Ok(fs::read_to_string(self.sources().join("sim/scoreboard.txt"))?)
    }

    /// Forgets programs of other trees.
    pub(crate) fn tidy(&self, keep: &[&Build]) -> Result<()> {
        for entry in fs::read_dir(self.gate())? {
            let entry = entry?;
            let name = entry.file_name();
            let is_program = entry.path().join("sim").is_file();
            if is_program && !keep.iter().any(|build| name == build.tree.as_str()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

fn git(arguments: &[&str], variables: &[(&str, &Path)]) -> Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .envs(variables.iter().copied())
        .output()
        .context("git is not installed")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
