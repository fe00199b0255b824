/**
 * The program that stands between a sandbox's clients and the egress proxy: runs inside, before the plugin. In Perl, because every
 * Debian has perl-base, it starts in 4 ms, and a sandbox shows /usr; only Socket.pm is used.
 *
 * Arguments: the socket of the proxy; what to listen on at 127.0.0.1, each `PORT` (a client that speaks to the proxy itself) or
 * `PORT=HOST:PORT` (a client that knows of no proxy: CONNECT is said for it); `--`; the plugin's command.
 *
 * It listens, forks, waits until the child holds its listeners alone, and *becomes* the plugin: process 1, signals, exit code, standard streams and limits are the plugin's own. The
 * child forwards: at most 16 connections (the next wait in the backlog), 64 KiB each way, no standard streams, no other descriptor.
 * It ends when the plugin does: with the process namespace, or, where there is none, within seconds. Needs sockets of the
 * families UNIX and INET alone. What fails before the plugin runs is said on stderr, exit code 126 (127: no such program).
 */

/** Of `perl -e`. */
export const SHIM_PROGRAM = `
use strict; use Socket;
my ($gate, @want) = (shift);
while (@ARGV) { my $w = shift; last if $w eq "--"; push @want, $w }
sub fail { print STDERR "egress shim: $_[0]\\n"; exit 126 }
my (%server, %to);
for (@want) {
  my ($port, $to) = split /=/, $_, 2;
  socket(my $s, PF_INET, SOCK_STREAM, 0) or fail("socket: $!");
  setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
  bind($s, sockaddr_in($port, INADDR_LOOPBACK)) or fail("port $port: $!");
  listen($s, 64) or fail("port $port: $!");
  $server{fileno $s} = $s; $to{fileno $s} = $to;
}
my $plugin = $$;
pipe(my $ready, my $tell) or fail("pipe: $!");
my $pid = fork; defined $pid or fail("fork: $!");
if ($pid) { close $tell; sysread $ready, my $none, 1; exec { $ARGV[0] } @ARGV; print STDERR "egress shim: $ARGV[0]: $!\\n"; exit 127 }
close STDIN; close STDOUT; close STDERR; close $ready;
for my $fd (3 .. 255) { my $f; open($f, "<&=", $fd) and close $f unless $server{$fd} }
close $tell;
$SIG{$_} = "IGNORE" for qw(PIPE INT TERM HUP);
# A pipe is a direction: from, to, bytes between, from has ended, to was told.
my %pair;
my $next = 0;
sub accepted {
  my ($s) = @_;
  my ($c, $u);
  accept($c, $s) or return;
  socket($u, PF_UNIX, SOCK_STREAM, 0) && connect($u, sockaddr_un($gate)) or return;
  my $to = $to{fileno $s};
  my $up = { from => $c, to => $u, buf => defined $to ? "CONNECT $to HTTP/1.1\\r\\nHost: $to\\r\\n\\r\\n" : "" };
  my $down = { from => $u, to => $c, buf => "", head => defined $to ? "" : undef };
  $pair{$next++} = { pipes => [$up, $down], at => time };
}
sub moved {
  my ($p, $r, $w) = @_;
  my $any = 0;
  if (!$p->{end} && vec($r, fileno $p->{from}, 1)) {
    my $got = "";
    my $ok = recv($p->{from}, $got, 65536, MSG_DONTWAIT);
    if (!defined $ok) { return -1 unless $!{EAGAIN} || $!{EINTR} }
    elsif ($got eq "") { $p->{end} = 1; $any = 1 }
    elsif (defined $p->{head}) {
      $p->{head} .= $got; $any = 1;
      if ($p->{head} =~ /\\r\\n\\r\\n/) {
        my ($head, $rest) = split /\\r\\n\\r\\n/, $p->{head}, 2;
        return -1 unless $head =~ m{^HTTP/1\\.1 200 };
        $p->{head} = undef; $p->{buf} = $rest;
      } elsif (length $p->{head} > 8192) { return -1 }
    }
    else { $p->{buf} = $got; $any = 1 }
  }
  if (length $p->{buf} && vec($w, fileno $p->{to}, 1)) {
    my $sent = send($p->{to}, $p->{buf}, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (!defined $sent) { return -1 unless $!{EAGAIN} || $!{EINTR} }
    else { substr($p->{buf}, 0, $sent) = ""; $any = 1 }
  }
  if ($p->{end} && !length $p->{buf} && !$p->{told}) { return -1 if defined $p->{head}; $p->{told} = 1; shutdown($p->{to}, 1) }
  return $any;
}
while (getppid == $plugin) {
  my ($r, $w) = ("", "");
  if (keys %pair < 16) { vec($r, $_, 1) = 1 for keys %server }
  for my $p (map { @{$_->{pipes}} } values %pair) {
    vec($r, fileno $p->{from}, 1) = 1 if !$p->{end} && !length $p->{buf};
    vec($w, fileno $p->{to}, 1) = 1 if length $p->{buf};
  }
  my $n = select($r, $w, undef, 2);
  next if $n < 0;
  for my $id (keys %pair) {
    my ($one, $gone) = ($pair{$id}, 0);
    for my $p (@{$one->{pipes}}) { my $m = moved($p, $r, $w); $gone = 1 if $m < 0; $one->{at} = time if $m > 0 }
    delete $pair{$id} if $gone || time - $one->{at} > 60 || 2 == grep { $_->{told} } @{$one->{pipes}};
  }
  for (keys %server) { accepted($server{$_}) if vec($r, $_, 1) && keys %pair < 16 }
}
`;
