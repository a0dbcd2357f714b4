# Hashes, arrays and strings. objects.pl ROUNDS
use strict;
use warnings;

for my $round (1 .. $ARGV[0]) {
  my %table;
  for my $n (1 .. 20000) {
    $table{"key $n"} = {number => $n, list => [1 .. $n % 9], text => 'x' x ($n % 200)};
  }
  delete $table{"key $_"} for grep { $_ % 3 == 0 } 1 .. 20000;
  my @lines = map { join ',', $_, $table{$_}{number}, @{$table{$_}{list}} } sort keys %table;
  my $fields = 0;
  for my $line (@lines) {
    my @parts = split /,/, $line;
    $fields += @parts;
    (my $copy = $line) =~ s/(\d+)/<$1>/g;
  }
  die "lines got lost\n" unless @lines == 13334 && $fields > 2 * @lines;
}
