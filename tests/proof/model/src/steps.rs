//! Every step that the world can take: what fate does, what a person does, what a process does.

use stateright::Model;

use crate::properties;
use crate::rules::{Bug, OnInterrupt, OnUnknownDelivery, Rules};
use crate::world::{
    Answer, Delivery, Doubt, File, Handler, Job, OCCURRENCES, Outside, Owner, PROCESSES, Process, RUNS, Run,
    RunNo, Set, Sink, Vital, World,
};

/// One step. Those before `Tick` need not come; the world must come to rest in order without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Kill(usize),
    Pause(usize),
    SetClockBack(u8),
    Release(RunNo, Again),
    Redeliver(RunNo),
    Tick,
    Start(usize),
    GoOn(usize),
    Claim(usize, Commit),
    Return(usize, bool),
    Complete(usize, Commit),
    LookWhatBecameOfIt(usize),
    TakeUp(usize, RunNo),
    BeginDelivery(usize, RunNo),
    Send(usize, Answer),
    SettleDelivery(usize),
    Recover(usize, Owner),
    FollowTheClock(usize),
}

/// Whether a person who releases a run asks for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Again {
    Yes,
    No,
}

/// How a commit comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Commit {
    Fine,
    /// It returns an error, and is in the file.
    ErrorAfter,
    /// It returns an error, and is not in the file.
    ErrorBefore,
}

impl Step {
    /// Whether fate or a person has to want it.
    pub(crate) fn is_optional(self) -> bool {
        matches!(
            self,
            Self::Kill(_) | Self::Pause(_) | Self::SetClockBack(_) | Self::Release(..) | Self::Redeliver(_)
        )
    }
}

impl Model for Rules {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let process = Process {
            life: 0,
            is: Vital::Up,
            handler: Handler::Free,
            in_hand: Set::default(),
            sink: Sink::Free,
            doubt: None,
        };
        let job = Job {
            scheduled_for: Some(1),
            attempt: 1,
            next_run: 1,
            open: None,
            parked: false,
            missed: Set::default(),
        };
        vec![World {
            clock: 0,
            fell_back: false,
            file: File { job, runs: [None; RUNS] },
            processes: [process; PROCESSES],
            outside: Outside::default(),
            left: self.fate,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.fates(world, steps);
        if world.clock <= self.occurrences {
            steps.push(Step::Tick);
        }
        for process in 0..PROCESSES {
            match world.processes[process].is {
                Vital::Dead => steps.push(Step::Start(process)),
                Vital::Paused => steps.push(Step::GoOn(process)),
                Vital::Up => self.work(world, process, steps),
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = *world;
        self.take(&mut next, step);
        if !step.is_optional() && properties::progress(&next) <= properties::progress(world) {
            next.outside.sins.add(properties::STOOD_STILL);
        }
        properties::compare(world, &mut next, step);
        Some(next)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        properties::all(self)
    }
}

impl Rules {
    /// What fate and the operator may do now.
    fn fates(&self, world: &World, steps: &mut Vec<Step>) {
        for process in 0..PROCESSES {
            if world.left.kills > 0 && world.processes[process].is != Vital::Dead {
                steps.push(Step::Kill(process));
            }
            if world.left.pauses > 0 && world.processes[process].is == Vital::Up {
                steps.push(Step::Pause(process));
            }
        }
        if world.left.set_backs > 0 {
            steps.extend((1..=world.clock.min(2)).map(Step::SetClockBack));
        }
        for (run, row) in world.file.runs() {
            if world.left.releases > 0 && row.outcome.is_none() {
                steps.push(Step::Release(run, Again::Yes));
                steps.push(Step::Release(run, Again::No));
            }
            if world.left.redeliveries > 0 && matches!(row.delivery, Delivery::Failed | Delivery::Unknown) {
                steps.push(Step::Redeliver(run));
            }
        }
    }

    /// What a process that is up may do now.
    fn work(&self, world: &World, process: usize, steps: &mut Vec<Step>) {
        let this = &world.processes[process];
        // Handlers and sinks are not the writer: they go on while it is in doubt.
        if let Handler::Running(_) = this.handler {
            steps.push(Step::Return(process, true));
            if world.left.failures > 0 {
                steps.push(Step::Return(process, false));
            }
        }
        if let Sink::Begun(_) = this.sink {
            steps.push(Step::Send(process, Answer::Delivered));
            if world.left.bad_answers > 0 {
                let bad = [Answer::NotSent, Answer::LostAfter, Answer::LostBefore];
                steps.extend(bad.map(|answer| Step::Send(process, answer)));
            }
        }
        if this.doubt.is_some() {
            steps.push(Step::LookWhatBecameOfIt(process));
            return;
        }
        let commits: &[Commit] = match world.left.commit_errors {
            0 => &[Commit::Fine],
            _ => &[Commit::Fine, Commit::ErrorAfter, Commit::ErrorBefore],
        };
        if this.handler == Handler::Free && world.file.is_due(world.clock) {
            steps.extend(commits.iter().map(|commit| Step::Claim(process, *commit)));
        }
        if let Handler::Returned(..) = this.handler {
            steps.extend(commits.iter().map(|commit| Step::Complete(process, *commit)));
        }
        if this.sink == Sink::Free {
            steps.extend(this.in_hand.items().map(|run| Step::BeginDelivery(process, run)));
            let free = |run: &Run| run.delivery == Delivery::Pending && run.delivery_owner.is_none();
            let waiting = world.file.runs().filter(|(_, run)| free(run));
            steps.extend(waiting.map(|(run, _)| Step::TakeUp(process, run)));
        }
        if let Sink::Answered(..) = this.sink {
            steps.push(Step::SettleDelivery(process));
        }
        if world.fell_back {
            steps.push(Step::FollowTheClock(process));
        }
        self.recoveries(world, process, steps);
    }

    fn recoveries(&self, world: &World, process: usize, steps: &mut Vec<Step>) {
        for other in 0..PROCESSES {
            for life in 0..=world.processes[other].life {
                let owner = Owner { process: other as u8, life };
                let robbed = self.bug == Some(Bug::RobByTime) && other != process;
                if (world.is_dead(owner) || robbed) && world.file.has_work(owner) {
                    steps.push(Step::Recover(process, owner));
                }
            }
        }
    }

    fn take(&self, world: &mut World, step: Step) {
        match step {
            Step::Kill(process) => self.kill(world, process),
            Step::Pause(process) => {
                world.left.pauses -= 1;
                world.processes[process].is = Vital::Paused;
            }
            Step::SetClockBack(by) => {
                world.left.set_backs -= 1;
                world.clock -= by;
                world.fell_back = true;
            }
            Step::Release(run, again) => self.release(world, run, again),
            Step::Redeliver(run) => self.redeliver(world, run),
            Step::Tick => world.clock += 1,
            Step::Start(process) => self.start(world, process),
            Step::GoOn(process) => world.processes[process].is = Vital::Up,
            Step::Claim(process, commit) => self.claim(world, process, commit),
            Step::Return(process, succeeded) => self.came_back(world, process, succeeded),
            Step::Complete(process, commit) => self.complete(world, process, commit),
            Step::LookWhatBecameOfIt(process) => self.look(world, process),
            Step::TakeUp(process, run) => {
                world.file.take_up(run, world.owner(process));
                world.processes[process].in_hand.add(run);
            }
            Step::BeginDelivery(process, run) => self.begin_delivery(world, process, run),
            Step::Send(process, answer) => self.send(world, process, answer),
            Step::SettleDelivery(process) => self.settle_delivery(world, process),
            Step::Recover(_, owner) => {
                if !world.is_dead(owner) {
                    world.outside.sins.add(properties::ROBBED);
                }
                world.file.recover(self, owner, world.clock);
            }
            Step::FollowTheClock(_) => {
                world.fell_back = false;
                world.file.set_back(world.clock);
            }
        }
    }

    /// The lock is free and all that was in memory is gone; what is committed stays.
    fn kill(&self, world: &mut World, process: usize) {
        world.left.kills -= 1;
        let this = world.processes[process];
        if let Handler::Returned(run, true) = this.handler
            && let Some(row) = world.file.run(run).filter(|row| row.outcome.is_none())
            && self.on_interrupt == OnInterrupt::Rerun
        {
            // The named window: the handler returned, its completion is not committed.
            world.outside.effects_excused[usize::from(row.occurrence - 1)] += 1;
        }
        if let Sink::Answered(run, Answer::Delivered | Answer::LostAfter) = this.sink
            && let Some(row) = world.file.run(run)
            && self.on_unknown_delivery == OnUnknownDelivery::Resend
        {
            world.outside.arrivals_excused[usize::from(row.occurrence - 1)] += 1;
        }
        world.processes[process] = Process {
            is: Vital::Dead,
            handler: Handler::Free,
            in_hand: Set::default(),
            sink: Sink::Free,
            doubt: None,
            ..this
        };
    }

    fn start(&self, world: &mut World, process: usize) {
        world.processes[process].is = Vital::Up;
        world.processes[process].life += 1;
        let job = &mut world.file.job;
        if self.bug == Some(Bug::RecomputeAtStart) && job.open.is_none() && job.next_run <= world.clock {
            job.scheduled_for = Some(world.clock + 1).filter(|next| *next <= self.occurrences);
            job.next_run = world.clock + 1;
        }
    }

    fn release(&self, world: &mut World, run: RunNo, again: Again) {
        world.left.releases -= 1;
        let Some(row) = world.file.run(run) else { return };
        if again == Again::Yes {
            // A person decided that it runs again, whatever its handler may have done.
            world.outside.effects_excused[usize::from(row.occurrence - 1)] += 1;
        }
        world.file.release(self, run, again == Again::Yes, world.clock);
    }

    fn redeliver(&self, world: &mut World, run: RunNo) {
        world.left.redeliveries -= 1;
        let Some(row) = world.file.run(run) else { return };
        let occurrence = usize::from(row.occurrence - 1);
        if world.outside.arrivals[occurrence] > 0 {
            world.outside.arrivals_excused[occurrence] += 1;
        }
        world.file.redeliver(run);
    }

    /// Commits what `write` does to the file, or does not, and leaves the process in doubt if the commit says so.
    fn commit<T>(
        world: &mut World,
        commit: Commit,
        write: impl FnOnce(&mut File) -> T,
    ) -> Result<T, Option<T>> {
        let mut file = world.file;
        let written = write(&mut file);
        if commit != Commit::Fine {
            world.left.commit_errors -= 1;
        }
        match commit {
            Commit::Fine => {
                world.file = file;
                Ok(written)
            }
            Commit::ErrorAfter => {
                world.file = file;
                Err(Some(written))
            }
            Commit::ErrorBefore => Err(None),
        }
    }

    fn claim(&self, world: &mut World, process: usize, commit: Commit) {
        let (owner, clock) = (world.owner(process), world.clock);
        let claimed = Self::commit(world, commit, |file| file.claim(self, owner, clock));
        let this = &mut world.processes[process];
        match claimed {
            Ok(Some(run)) => this.handler = Handler::Running(run),
            Ok(None) => {}
            Err(applied) => this.doubt = Some(Doubt::Claim(applied.flatten())),
        }
    }

    fn came_back(&self, world: &mut World, process: usize, succeeded: bool) {
        let Handler::Running(run) = world.processes[process].handler else { return };
        let Some(row) = world.file.run(run) else { return };
        if succeeded {
            world.outside.effects[usize::from(row.occurrence - 1)] += 1;
        } else {
            world.left.failures -= 1;
        }
        let this = &mut world.processes[process];
        this.handler = Handler::Returned(run, succeeded);
        if self.bug == Some(Bug::DeliverBeforeCommit) && succeeded && this.sink == Sink::Free {
            this.sink = Sink::Begun(run);
        }
    }

    fn complete(&self, world: &mut World, process: usize, commit: Commit) {
        let Handler::Returned(run, succeeded) = world.processes[process].handler else { return };
        let clock = world.clock;
        match Self::commit(world, commit, |file| file.complete(self, run, succeeded, clock)) {
            Ok(_) => Self::completed(world, process, run),
            Err(applied) => {
                world.processes[process].doubt = Some(Doubt::Completion { applied: applied.is_some() });
            }
        }
    }

    /// The answer to a completion: the slot is free, and the output is this process's to deliver if it is pending.
    fn completed(world: &mut World, process: usize, run: RunNo) {
        let owner = world.owner(process);
        let pending = |row: &Run| row.delivery == Delivery::Pending && row.delivery_owner == Some(owner);
        let to_deliver = world.file.run(run).is_some_and(pending);
        let this = &mut world.processes[process];
        this.handler = Handler::Free;
        if to_deliver {
            this.in_hand.add(run);
        }
    }

    /// Looks at its mark in the file: a commit that returned an error is unknown, never no.
    fn look(&self, world: &mut World, process: usize) {
        let Some(doubt) = world.processes[process].doubt.take() else { return };
        if self.bug == Some(Bug::CommitErrorMeansNo) {
            return;
        }
        match (doubt, world.processes[process].handler) {
            (Doubt::Claim(Some(run)), _) => world.processes[process].handler = Handler::Running(run),
            (Doubt::Completion { applied: true }, Handler::Returned(run, _)) => {
                Self::completed(world, process, run);
            }
            // It is not in the file: the same transaction is driven again.
            _ => {}
        }
    }

    fn begin_delivery(&self, world: &mut World, process: usize, run: RunNo) {
        let (owner, clock) = (world.owner(process), world.clock);
        let begun = world.file.begin_delivery(self, run, owner, clock);
        let this = &mut world.processes[process];
        this.in_hand.remove(run);
        if begun {
            this.sink = Sink::Begun(run);
        }
    }

    fn send(&self, world: &mut World, process: usize, answer: Answer) {
        let Sink::Begun(run) = world.processes[process].sink else { return };
        let Some(row) = world.file.run(run).copied() else { return };
        if !matches!((row.outcome, row.delivery), (Some(_), delivery) if delivery != Delivery::NotRequested) {
            world.outside.sins.add(properties::SENT_BEFORE_THE_COMMIT);
        }
        if answer != Answer::Delivered {
            world.left.bad_answers -= 1;
        }
        if matches!(answer, Answer::Delivered | Answer::LostAfter) {
            world.outside.arrivals[usize::from(row.occurrence - 1)] += 1;
        }
        world.processes[process].sink = Sink::Answered(run, answer);
    }

    fn settle_delivery(&self, world: &mut World, process: usize) {
        let Sink::Answered(run, answer) = world.processes[process].sink else { return };
        let owner = world.owner(process);
        if let Some(row) = world.file.run(run)
            && answer == Answer::LostAfter
            && self.on_unknown_delivery == OnUnknownDelivery::Resend
        {
            world.outside.arrivals_excused[usize::from(row.occurrence - 1)] += 1;
        }
        world.file.settle_delivery(self, run, owner, answer);
        world.processes[process].sink = Sink::Free;
    }
}

const _: () = assert!(OCCURRENCES <= 7, "a set of occurrences has eight places, and they count from one");
