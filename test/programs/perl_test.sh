#!/bin/bash
# perl: hashes, regular expressions, modules, processes, interpreter threads.
source test/programs/common.sh
need perl

cat >"$TEST_TMPDIR/session.pl" <<'END'
use strict;
use warnings;
use threads;
use Data::Dumper;
use Digest::SHA 'sha256_hex';
use Encode;
use List::Util 'sum';
use Storable qw(freeze thaw dclone);
$| = 1;

my %words;
push @{$words{$_ % 5003}}, "word$_" for 1 .. 200_000;
my $text = join ',', map { "$_=" . join '+', @{$words{$_}} } sort keys %words;
print length $text, ' ', sha256_hex($text), "\n";
my $matches = () = $text =~ /(?<!\d)word(\d+)7\b/g;
print "matches: $matches\n";
(my $swapped = $text) =~ s/(\w+)=(\w+)/$2=\U$1/g;
print sha256_hex($swapped), "\n";
undef %words;

sub tree {
  my $depth = shift;
  return $depth ? [map { tree($depth - 1) } 1 .. 3] : {leaf => 'x' x 20};
}
$Data::Dumper::Indent = 0;
print sha256_hex(Dumper thaw freeze dclone tree(8)), "\n";

my @closures = map { my $n = $_; sub { $n + shift } } 1 .. 20_000;
print sum(map { $_->(1) } @closures), "\n";
print eval(join '+', 1 .. 5_000), "\n";
print sha256_hex(encode 'UTF-8', join '', map { chr } 0x100 .. 0xd000), "\n";
print eval { die {code => 42} } // $@->{code}, "\n";

sub job { sum map { length } map { 'y' x $_ } 1 .. 500 * shift }
my @threads = map { threads->create(\&job, $_) } 1 .. 4;
print 'thread: ', $_->join, "\n" for @threads;

for my $n (1 .. 5) {
  my $pid = fork // die;
  if (!$pid) {
    my @lists = map { [1 .. 10] } 1 .. 5_000;
    exit $n + @lists % 7;
  }
  waitpid $pid, 0;
  print "child $n: ", $? >> 8, "\n";
}
print `echo from a shell; exit 3`, $? >> 8, "\n";
warn "a warning\n";
exit 9;
END

# shellcheck disable=SC2016
assert_served perl -e 'print `echo x`'
expected_status=9
run_both perl perl "$TEST_TMPDIR/session.pl"
