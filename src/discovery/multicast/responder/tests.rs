use rand::SeedableRng;

use super::*;

const TAG: ClusterTag = ClusterTag(7);
/// How long an announcement is on its way.
const LATENCY: u64 = 1;
/// How long who has asked collects what is said.
const COLLECTING: u64 = 300;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn addr(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 0], u16::try_from(index).unwrap() + 1))
}

fn responder(index: usize) -> Responder {
    Responder::new(TAG, addr(index), ChaCha12Rng::seed_from_u64(index as u64))
}

fn said(kind: AnnouncementKind, view: u64, index: usize) -> Announcement {
    Announcement { kind, tag: TAG, view, addr: addr(index) }
}

fn question(view: u64, index: usize) -> Announcement {
    said(AnnouncementKind::Question, view, index)
}

fn answer(view: u64, index: usize) -> Announcement {
    said(AnnouncementKind::Answer, view, index)
}

/// Members that hear each other, in steps of a millisecond. Who has found somebody is of one island with it at once.
struct Room {
    responders: Vec<Responder>,
    /// The island of each member: the number of one of those in it.
    islands: Vec<usize>,
    /// How many members the island of each number has.
    sizes: Vec<usize>,
    now: u64,
    in_air: Vec<(u64, Announcement)>,
    /// When each of them asks, and when it looks what has come.
    turns: BTreeMap<u64, Vec<(usize, bool)>>,
    questions: usize,
    answers: usize,
}

impl Room {
    fn new(count: usize) -> Self {
        Self {
            responders: (0..count).map(responder).collect(),
            islands: (0..count).collect(),
            sizes: vec![1; count],
            now: 0,
            in_air: Vec::new(),
            turns: BTreeMap::new(),
            questions: 0,
            answers: 0,
        }
    }

    fn view(&self, of: usize) -> u64 {
        let island = self.islands[of];
        if self.sizes[island] < 2 { 0 } else { island as u64 + 1 }
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (from, to) = (self.islands[a], self.islands[b]);
        if from == to {
            return;
        }
        self.sizes[to] += std::mem::take(&mut self.sizes[from]);
        self.islands.iter_mut().filter(|island| **island == from).for_each(|island| *island = to);
    }

    fn islands(&self) -> usize {
        let mut islands = self.islands.clone();
        islands.sort_unstable();
        islands.dedup();
        islands.len()
    }

    fn ask_at(&mut self, at: u64, who: usize) {
        self.turns.entry(at).or_default().push((who, true));
    }

    fn say(&mut self, announcement: Option<Announcement>) {
        if let Some(announcement) = announcement {
            match announcement.kind {
                AnnouncementKind::Question => self.questions += 1,
                AnnouncementKind::Answer => self.answers += 1,
            }
            self.in_air.push((self.now + LATENCY, announcement));
        }
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.step();
            self.now += 1;
        }
    }

    fn step(&mut self) {
        let now = ms(self.now);
        for (who, asks) in self.turns.remove(&self.now).unwrap_or_default() {
            let view = self.view(who);
            if asks {
                let question = self.responders[who].ask(view);
                self.say(question);
                self.turns.entry(self.now + COLLECTING).or_default().push((who, false));
            } else {
                let island = self.islands[who];
                let islands = self.islands.clone();
                let is_known = |addr: SocketAddr| islands[usize::from(addr.port()) - 1] == island;
                for stranger in self.responders[who].take_strangers(is_known) {
                    self.unite(who, usize::from(stranger.port()) - 1);
                }
            }
        }
        let heard: Vec<Announcement> = self
            .in_air
            .extract_if(.., |(at, _)| *at <= self.now)
            .map(|(_, announcement)| announcement)
            .collect();
        for announcement in heard {
            for at in 0..self.responders.len() {
                let view = self.view(at);
                if self.responders[at].concerns(now, &announcement) {
                    self.responders[at].hear(now, view, announcement.addr, &announcement);
                }
            }
        }
        for at in 0..self.responders.len() {
            let view = self.view(at);
            let answer = self.responders[at].answer(now, view);
            self.say(answer);
        }
    }
}

#[test]
fn a_newcomer_is_answered_by_a_few_however_many_hear_it() {
    for n in [1, 2, 6, 60, 1_000] {
        let mut room = Room::new(n + 1);
        (1..n).for_each(|member| room.unite(member, 0));
        room.ask_at(10, n);
        room.run(2_000);
        println!("{n} members: {} answers", room.answers);
        assert_eq!(room.questions, 1);
        assert_eq!(room.islands(), 1);
        // Those whose time is within the latency of the second answer do not hear it in time.
        let unlucky = n / 50;
        assert!(
            room.answers >= n.min(ENOUGH) && room.answers <= ENOUGH + unlucky + 2,
            "{n}: {}",
            room.answers
        );
    }
}

#[test]
fn many_that_start_together_say_about_one_thing_each() {
    for n in [2, 6, 60] {
        let mut room = Room::new(n);
        for member in 0..n {
            // Half a second in which all of them start.
            let start = 500 * member as u64 / n as u64;
            room.ask_at(start, member);
            room.ask_at(start + 625, member);
        }
        room.run(3_000);
        println!("{n} members: {} questions, {} answers", room.questions, room.answers);
        assert_eq!(room.islands(), 1);
        assert!(room.questions <= 2 * n && room.answers <= n, "{} and {}", room.questions, room.answers);
    }
}

#[test]
fn islands_ask_as_if_they_were_one_and_find_each_other() {
    let n = 60;
    let mut room = Room::new(n);
    (1..n / 2).for_each(|member| room.unite(member, 0));
    (n / 2..n).for_each(|member| room.unite(member, n - 1));
    for member in 0..n {
        // Each once in about ten seconds.
        let phase = member as u64 * 7_919 % 10_000;
        (0..6).for_each(|round| room.ask_at(phase + round * 10_000, member));
    }
    room.run(500);
    assert_eq!(room.islands(), 1, "not found in the first half second of questions");
    let (questions, answers) = (room.questions, room.answers);
    room.run(60_000);
    println!(
        "then, in a minute: {} questions, {} answers",
        room.questions - questions,
        room.answers - answers
    );
    assert!(room.questions - questions <= 20 && room.answers == answers);
}

#[test]
fn members_of_one_view_do_not_answer_each_other_and_ask_once_for_all() {
    let mut responder = responder(1);
    assert!(!responder.hear(ms(0), 5, addr(2), &question(5, 2)));
    assert_eq!(responder.due(), None);
    assert_eq!(responder.ask(5), None);
    assert_eq!(responder.ask(5), Some(question(5, 1)));
}

#[test]
fn the_lone_always_ask() {
    let mut responder = responder(1);
    responder.hear(ms(0), 5, addr(2), &question(5, 2));
    assert_eq!(responder.ask(0), Some(question(0, 1)));
}

#[test]
fn an_answer_to_an_island_is_taken_off_us_by_our_own_only() {
    let mut responder = responder(1);
    assert!(responder.hear(ms(0), 5, addr(2), &question(6, 2)));
    for other in 3..10 {
        responder.hear(ms(1), 5, addr(other), &answer(6, other));
    }
    assert!(responder.due().is_some());
    responder.hear(ms(1), 5, addr(11), &answer(5, 11));
    responder.hear(ms(1), 5, addr(11), &answer(5, 11));
    assert!(responder.due().is_some(), "one of ours is not enough, however often it says so");
    responder.hear(ms(1), 5, addr(12), &answer(5, 12));
    assert_eq!(responder.due(), None);
}

#[test]
fn nobody_answers_more_than_once_a_second() {
    let mut responder = responder(1);
    let mut answers = Vec::new();
    for at in 0..10_000 {
        responder.hear(ms(at), 5, addr(2), &question(0, 2));
        answers.extend(responder.answer(ms(at), 5).map(|_| at));
    }
    assert!(answers.len() >= 6 && answers.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{answers:?}");
}

#[test]
fn other_clusters_ourselves_and_floods_do_not_concern_us() {
    let mut responder = responder(1);
    assert!(!responder.concerns(ms(0), &Announcement { tag: ClusterTag(8), ..question(0, 2) }));
    assert!(!responder.concerns(ms(0), &question(0, 1)));
    let heard = (0..5_000).filter(|_| responder.concerns(ms(0), &question(0, 2))).count();
    assert_eq!(heard, ANNOUNCEMENTS_PER_SECOND as usize);
    assert!(responder.concerns(ms(1_000), &question(0, 2)));
}

/// Whoever has one address has one voice, whatever it says and however often.
#[test]
fn one_that_speaks_for_many_does_not_silence_a_member() {
    let mut responder = responder(1);
    assert!(responder.hear(ms(0), 5, addr(2), &question(0, 2)));
    for other in 3..1_000 {
        responder.hear(ms(1), 5, addr(900), &answer(6, other));
    }
    assert!(responder.due().is_some());
    responder.hear(ms(1), 5, addr(901), &answer(6, 901));
    assert_eq!(responder.due(), None);
}

#[test]
fn one_that_is_heard_in_two_groups_is_one() {
    let mut responder = responder(1);
    assert!(responder.hear(ms(0), 5, addr(2), &question(0, 2)));
    responder.hear(ms(1), 5, addr(900), &answer(6, 3));
    responder.hear(ms(1), 5, addr(901), &answer(6, 3));
    assert!(responder.due().is_some());
    assert_eq!(responder.take_strangers(|_| false), [addr(2), addr(3)]);
}

#[test]
fn made_up_members_of_one_liar_leave_room_for_others() {
    let mut responder = responder(0);
    assert!(responder.hear(ms(0), 0, addr(20_000), &question(0, 20_000)));
    for other in 1..10_000 {
        responder.hear(ms(0), 0, addr(900), &question(0, other));
    }
    assert_eq!(responder.take_strangers(|_| false), [addr(9_999), addr(20_000)]);
}

#[test]
fn made_up_members_of_many_liars_do_not_pile_up_and_keep_nobody_out_for_good() {
    let mut responder = responder(0);
    let mut is_told = false;
    for _ in 0..1_000 {
        for other in 1..100 {
            responder.hear(ms(0), 0, addr(other), &question(0, other));
        }
        assert_eq!(responder.heard.len(), HEARD_MAX);
        let strangers = responder.take_strangers(|_| false);
        assert_eq!(strangers.len(), STRANGERS_MAX);
        is_told |= strangers.contains(&addr(99));
        assert!(responder.take_strangers(|_| false).is_empty());
    }
    assert!(is_told);
}
