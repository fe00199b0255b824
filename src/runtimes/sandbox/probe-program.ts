/**
 * What a plugin would try, as programs that are started inside a tier to see whether it holds: each tells what it could do, or is ended
 * by the limit that it runs into. In Perl, which starts fastest of what is there.
 */

/** Prints one line of JSON-like `key=value`, blank separated; an empty value means that nothing of it worked. */
export const LOOK = `
my ($core, $fork) = @ARGV;
my %did;
sub try { my ($what, $name, $done) = @_; push @{$did{$what}}, $name if $done }
sub can_read { open(my $f, '<', $_[0]) && defined sysread($f, my $b, 1) ? 1 : 0 }
sub can_write { my $p = shift; open(my $f, '>>', $p) ? do { unlink $p; 1 } : 0 }
try('files', $_, can_read($_)) for qw(/etc/passwd /etc/shadow /etc/hosts);
# In a namespace its own number may be the one that the service has outside.
if ($core != $$) { try('files', $_, can_read($_)) for "/proc/$core/environ", "/proc/$core/cmdline"; try('kernel', 'signal', kill 0, $core) }
try('files', "new:$_", can_write("$_/mairust-probe")) for '.', qw(/ /usr /etc /dev /var/tmp);
try('network', "family$_->[0]", socket(my $s, $_->[0], $_->[1], 0)) for [1, 1], [2, 1], [2, 2], [10, 1], [16, 3], [17, 2];
try('secrets', "env:$_", 1) for grep { !/^(PATH|LANG|HOME|TMPDIR|MAIRUST_PLUGIN_ID|PWD)$/ } keys %ENV;
for my $fd (3 .. 255) { if (open(my $f, "<&=$fd")) { try('secrets', "fd:$fd", 1) if -e $f } }
try('kernel', 'userns', syscall($ARGV[2], 0x10000000) == 0);
sub fill { my ($p, $limit) = @_; open(my $f, '>', $p) or return 0; my $n = 0; my $x = 'x' x 1048576;
  while ($n < $limit) { my $w = syswrite $f, $x; last if !$w; $n += $w } close $f; unlink $p; $n }
$SIG{XFSZ} = 'IGNORE';
my $held = fill("$ENV{TMPDIR}/fill", 80 << 20);
try('disk', "tmp:$held", $held > (70 << 20));
try('disk', 'shm', fill('/dev/shm/fill', 4 << 20) > (2 << 20));
my @kids;
if ($fork) { while (@kids < $fork) { my $pid = fork; last if !defined $pid; if (!$pid) { sleep 60; exit } push @kids, $pid } kill 9, @kids }
try('processes', scalar @kids, @kids >= $fork) if $fork;
print join(' ', 'held=' . $held, 'forks=' . @kids, map { "$_=" . join ',', @{$did{$_} // []} } qw(files network secrets kernel disk processes)), "\\n";
`;

/** Takes processor time without end. */
export const SPIN = "1 while 1;";

/**
 * First one process takes more than the limit, which must fail it; then several, each less than the limit and together more. Says
 * `data` when the first was held; ends by itself, saying `all`, when nobody held the others.
 */
export const GROW = `
my ($mib) = @ARGV;
$| = 1;
my $pid = fork;
if (!$pid) { close STDERR; my $x = 'x' x (($mib * 2) << 20); exit 0 }
waitpid $pid, 0;
print "data " if $? != 0;
my @kids;
for (1 .. 4) { my $kid = fork; if (!$kid) { my $x = 'x' x (($mib * 5 / 8) << 20); sleep 60; exit } push @kids, $kid }
select undef, undef, undef, 3;
kill 9, @kids;
print "all";
`;

/** Deaf to a polite end, with a child that has left its group and its parent and holds the output open. */
export const CLING = `
$| = 1;
$SIG{TERM} = 'IGNORE';
if (!fork) { setpgrp 0, 0; if (!fork) { print "ready\\n"; sleep 60 } exit }
sleep 60;
`;
