# Copies an account with Perl's Mail::IMAPClient: mail-imapclient-copy.pl HOST PORT USER PASSWORD AUTHORIZE DIR
#
# Appends what is new since the last run to DIR/records (test/lib/clients/records.ts says how), and keeps UIDVALIDITY and the
# highest UID of each mailbox in DIR/state. AUTHORIZE is empty when USER is the account. Sizes are compared with RFC822.SIZE.
use strict;
use warnings;
use Mail::IMAPClient;

my ($host, $port, $user, $password, $authorize, $dir) = @ARGV;
my $CHUNK = 500;

# With Proxy the module sends User as the authorization identity and Proxy as the one whose password it is.
my @login = $authorize ne ''
    ? (User => $authorize, Proxy => $user, Authmechanism => 'PLAIN')
    : (User => $user);
my $imap = Mail::IMAPClient->new(
    Server => $host, Port => $port, Password => $password, @login, Uid => 1, Peek => 1, Ignoresizeerrors => 0,
) or die "cannot log in: $@\n";

my %state;
if (open my $in, '<', "$dir/state") {
    while (<$in>) { chomp; my ($name, $validity, $last) = split /\t/; $state{$name} = [$validity, $last] }
    close $in;
}
open my $out, '>>:raw', "$dir/records" or die "records: $!\n";
for my $name ($imap->folders) {
    $imap->selectable($name) or next;
    print $out "$name\t0\t\t\t0\n\n" unless $state{$name};
    $state{$name} = copy($name, $state{$name});
}
close $out or die "records: $!\n";
$imap->logout or die 'LOGOUT: ' . $imap->LastError . "\n";
open my $kept, '>', "$dir/state" or die "state: $!\n";
print $kept join("\t", $_, @{ $state{$_} }), "\n" for sort keys %state;
close $kept or die "state: $!\n";

sub copy {
    my ($name, $last) = @_;
    $imap->examine($name) or die "EXAMINE $name: " . $imap->LastError . "\n";
    my $validity = $imap->uidvalidity($name);
    die "UIDVALIDITY of $name changed\n" if $last && $last->[0] != $validity;
    my $highest = $last ? $last->[1] : 0;
    my $found = $imap->search('UID ' . ($highest + 1) . ':*');
    die "SEARCH $name: " . $imap->LastError . "\n" if !defined $found;
    # n:* names the last message even when its UID is lower.
    my @uids = sort { $a <=> $b } grep { $_ > $highest } @$found;
    while (my @some = splice @uids, 0, $CHUNK) {
        my $got = $imap->fetch_hash("$some[0]:$some[-1]", 'FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'BODY.PEEK[]')
            or die "FETCH $name: " . $imap->LastError . "\n";
        for my $uid (@some) {
            my $message = $got->{$uid} or die "FETCH $name: no answer for UID $uid\n";
            my $body = $message->{'BODY[]'};
            my $size = length $body;
            die "$name $uid: RFC822.SIZE $message->{'RFC822.SIZE'}, but $size octets\n" if $size != $message->{'RFC822.SIZE'};
            print $out "$name\t$uid\t$message->{FLAGS}\t$message->{INTERNALDATE}\t$size\n", $body, "\n";
        }
        $highest = $some[-1];
    }
    return [$validity, $highest];
}
