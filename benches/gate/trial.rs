//! The gate on trial: the same sources on both sides must be the same, a planted slow-down must be found.

use anyhow::{Context, Result, ensure};

use crate::build::Workshop;
use crate::verdict::{Finding, Stage, Verdict};
use crate::{Options, common, count, counted, load, machine, scoreboard, time};

/// Each run takes one case of so many, the next run the next ones.
const SHARE: usize = 3;

/// What is planted, in percent.
const PLANTED: u32 = 3;

/// Whether it failed: a false alarm, or a planted slow-down that counting did not find. Wall time is only told,
/// because what it can find depends on what else the machine does.
pub(crate) fn run(options: &Options, runs: u32) -> Result<bool> {
    let workshop = Workshop::open()?;
    let build = workshop.build(&workshop.working_tree()?)?;
    let twins = build.twins.as_deref().context("there is no benches/twins.rs")?;
    let all = common(twins, twins, &options.only)?;
    // only what is done a hundred times under valgrind can be done 3 % more often
    let plantable: Vec<&String> = all
        .iter()
        .filter(|case| {
            ["codec/encode/", "codec/decode/", "packet/"]
                .iter()
                .any(|start| case.starts_with(start))
        })
        .collect();
    ensure!(
        !plantable.is_empty(),
        "a slow-down can be planted in cases of codec and packet only"
    );
    let counts = options.stages.contains(&Stage::Instructions) && count::is_possible();
    let times = options.stages.contains(&Stage::Time);
    println!("{runs} comparisons of the files with themselves, {}\n", machine());
    println!(
        "| run | simulated: differences | instructions: alarms | wall time: alarms | unclear | planted 3 % in | instructions | wall time | load |"
    );
    println!("|--:|--:|--:|--:|--:|---|--:|--:|--:|");
    let (mut alarms, mut compared, mut missed, mut late) = (0, 0, 0, 0);
    for run in 0..runs {
        let cases: Vec<String> = all
            .iter()
            .skip(run as usize % SHARE)
            .step_by(SHARE)
            .cloned()
            .collect();
        let mut same = Vec::new();
        let mut columns = Vec::new();
        if options.stages.contains(&Stage::Simulated) {
            let boards = [workshop.play(&build)?, workshop.play(&build)?];
            same.extend(scoreboard::compare(&boards[0], &boards[1])?);
            columns.push(format!(
                "{}",
                same.iter()
                    .filter(|finding| finding.before != finding.after)
                    .count()
            ));
        } else {
            columns.push("-".to_owned());
        }
        let counted_twice = if counts {
            counted(twins, twins, &cases, 0)?
        } else {
            Vec::new()
        };
        columns.push(alarms_in(&counted_twice).to_string());
        let timed = if times {
            time::compare(twins, twins, &cases, 0)?
        } else {
            Vec::new()
        };
        columns.push(alarms_in(&timed).to_string());
        let unclear = timed
            .iter()
            .filter(|finding| finding.verdict == Verdict::Unclear)
            .count();
        columns.push(format!("{unclear} of {}", timed.len()));
        same.extend(counted_twice);
        same.extend(timed);
        alarms += alarms_in(&same);
        compared += same.len();

        let planted = [plantable[run as usize % plantable.len()].clone()];
        columns.push(planted[0].clone());
        let told = |found: &Finding| {
            let word = if found.verdict == Verdict::Worse {
                "found"
            } else {
                "missed"
            };
            format!("{word}, {:+.1} %", found.change * 100.0)
        };
        if counts {
            let found = counted(twins, twins, &planted, PLANTED)?;
            missed += u32::from(alarms_in(&found) == 0);
            columns.push(found.iter().map(told).collect());
        } else {
            columns.push("-".to_owned());
        }
        if times {
            let found = time::compare(twins, twins, &planted, PLANTED)?;
            late += u32::from(alarms_in(&found) == 0);
            columns.push(found.iter().map(told).collect());
        } else {
            columns.push("-".to_owned());
        }
        columns.push(load());
        println!("| {} | {} |", run + 1, columns.join(" | "));
    }
    println!(
        "\n{alarms} false alarms in {compared} figures of {runs} comparisons; of {runs} planted slow-downs \
         instructions missed {missed}, wall time {late}."
    );
    Ok(alarms > 0 || missed > 0)
}

fn alarms_in(findings: &[Finding]) -> usize {
    findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Worse)
        .count()
}
