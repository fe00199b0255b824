/**
 * The launcher: a few lines of Perl that do to themselves what Node cannot do to a child, and then become the program. Perl, since
 * `perl-base` is on every Debian and `syscall` needs nothing compiled. Order matters: what needs root first, then the other user, then
 * what takes rights away. Whatever fails ends it with {@link LAUNCH_FAILED} before the program runs.
 *
 * Arguments: `key=value` …, `--`, program and its arguments. Source of each call: its page in section 2 of the Linux manual.
 */

/** Exit code when something could not be set up; the reason is on stderr. */
export const LAUNCH_FAILED = 125;

export const LAUNCHER_PROGRAM = `
use strict;
my (%o, @bind, @limit, @rule, @cgroup);
while (@ARGV) {
  my $a = shift @ARGV;
  last if $a eq '--';
  my ($k, $v) = split /=/, $a, 2;
  if ($k eq 'bind') { push @bind, $v } elsif ($k eq 'limit') { push @limit, $v }
  elsif ($k eq 'rule') { push @rule, $v } elsif ($k eq 'cgroup') { push @cgroup, $v }
  else { $o{$k} = $v }
}
# A text would be passed to the kernel as an address.
$_ += 0 for @o{grep { defined $o{$_} } qw(uid filterfd parent)};
my %n = map { split /:/ } split /,/, $o{calls};
sub failed { print STDERR "launch: $_[0]: $!\\n"; exit ${LAUNCH_FAILED} }
sub must { my $what = shift; my $r = syscall(shift(@_), @_); $r == -1 and failed($what); $r }

# Its group of the kernel's accounts, before there is anything to account for.
for (@cgroup) { open my $f, '>', $_ or failed("join $_"); syswrite($f, '0') or failed("join $_"); close $f }

# Files that the other user could not reach, shown where it can. Nobody else sees this mount namespace.
if (defined $o{stage}) {
  must('unshare', $n{unshare}, 0x20000);
  my ($none, $root, $tmpfs, $stage, $size) = ('none', '/', 'tmpfs', $o{stage}, 'mode=711,size=65536');
  must('private mounts', $n{mount}, $none, $root, 0, 0x44000, 0);
  must('stage', $n{mount}, $tmpfs, $stage, $tmpfs, 0xe, $size);
  for (@bind) {
    my ($name, $from) = split /:/, $_, 2;
    my $to = "$stage/$name";
    if (-d $from) { mkdir $to or failed("stage $name") } else { open my $f, '>', $to or failed("stage $name"); close $f }
    must("stage $from", $n{mount}, $from, $to, 0, 0x5000, 0);
  }
}

my $watched = $$;
if (defined $o{tree}) {
  # Whatever loses its parent below becomes our child: nothing can leave the tree.
  must('subreaper', $n{prctl}, 36, 1, 0, 0, 0);
  my $main = fork; defined $main or failed('fork');
  if ($main) { tree($main, $o{tree}) }
}
if (defined $o{uid}) {
  my $none = pack 'x8';
  must('setgroups', $n{setgroups}, 0, $none);
  must('setresgid', $n{setresgid}, $o{uid}, $o{uid}, $o{uid});
  must('setresuid', $n{setresuid}, $o{uid}, $o{uid}, $o{uid});
}
# After the change of user, which forgets it. Who lost its parent before this line leaves by itself.
must('pdeathsig', $n{prctl}, 1, 9, 0, 0, 0);
exit 1 if getppid() != (defined $o{tree} ? $watched : $o{parent});
for (@limit) { my ($r, $v) = map { $_ + 0 } split /:/; my $l = pack('QQ', $v, $v); must("limit $r", $n{prlimit64}, 0, $r, $l, 0) }
landlock() if @rule;
if (defined $o{filter}) {
  my $program = pack 'H*', $o{filter};
  if (defined $o{filterfd}) {
    # For bubblewrap, which installs it as its last step.
    pipe(my $r, my $w) or failed('pipe');
    syswrite($w, $program) == length $program or failed('pipe'); close $w;
    must('dup3', $n{dup3}, fileno $r, $o{filterfd}, 0);
  } else {
    my $prog = pack('Sx6P', length($program) / 8, $program);
    must('no_new_privs', $n{prctl}, 38, 1, 0, 0, 0);
    must('seccomp', $n{seccomp}, 1, 0, $prog);
  }
}
# Whatever the service was started with: of no concern to a plugin.
must('close_range', 436, 3, $o{filterfd} - 1, 0) if defined $o{filterfd};
must('close_range', 436, (defined $o{filterfd} ? $o{filterfd} + 1 : 3), 0xffffffff, 0);
{ no warnings; exec { $ARGV[0] } @ARGV }
failed("start $ARGV[0]");

sub landlock {
  my $abi = syscall(444, 0, 0, 1);
  $abi < 1 and failed('landlock');
  my $fs = (1 << 13) - 1; $fs |= 1 << 13 if $abi >= 2; $fs |= 1 << 14 if $abi >= 3; $fs |= 1 << 15 if $abi >= 5;
  my $file = $fs & (1 | 2 | 4 | 1 << 14 | 1 << 15);
  my $attr = pack('Q', $fs);
  $attr .= pack('Q', 3) if $abi >= 4;
  $attr .= pack('Q', 3) if $abi >= 6;
  my $set = must('landlock', 444, $attr, length $attr, 0);
  # read, execute, list; of devices reading and writing alone; of the own folder everything but devices.
  my %rights = (read => 1 | 4 | 8, device => 2 | 4, write => $fs & ~(1 << 6 | 1 << 11 | 1 << 15));
  for (@rule) {
    my ($kind, $path) = split /:/, $_, 2;
    sysopen(my $f, $path, 0x200000 | 0x80000) or next;
    my $rights = $rights{$kind}; $rights &= $file unless -d $f;
    my $rule = pack('Ql', $rights, fileno $f);
    must("landlock $path", 445, $set, 1, $rule, 0);
  }
  must('no_new_privs', $n{prctl}, 38, 1, 0, 0, 0);
  must('landlock', 446, $set, 0);
}

# The parent of a tree without a namespace: ends all of it with its first process, when asked, or when the service is gone.
sub tree {
  my ($main, $grace) = @_;
  my ($how, $asked) = (undef, 0);
  $SIG{TERM} = sub { $asked = 1; kill 9, children() };
  must('pdeathsig', $n{prctl}, 1, 15, 0, 0, 0);
  $SIG{TERM}->() if getppid() != $o{parent};
  open STDIN, '<', '/dev/null'; open STDOUT, '>', '/dev/null'; open STDERR, '>', '/dev/null';
  while ((my $pid = waitpid(-1, 0)) != 0) {
    if ($pid == -1) { next if $!{EINTR}; last }
    $how = $? if $pid == $main;
    # Each that dies hands us its children.
    kill 9, children() if $asked or defined $how;
  }
  if ($how & 127) { $SIG{TERM} = 'DEFAULT'; kill $how & 127, $$; select undef, undef, undef, 1 }
  exit $how >> 8;
}
sub children { open my $f, '<', "/proc/$$/task/$$/children" or return (); split ' ', <$f> // '' }
`;
