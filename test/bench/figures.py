"""From raw records to medians, quartiles and means."""

import math
import statistics


class Cell:
    """What one allocator did in one row, in the quantity `field`."""

    def __init__(self, records, field):
        self.failures = [record["failed"] for record in records if record["failed"]]
        self.values = sorted(float(record[field]) for record in records
                             if record[field] != "")
        # One that failed once is not measured by the times it did not.
        self.counts = bool(self.values) and not self.failures

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def quartiles(self):
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high


class Table:
    """Cells by row and allocator, and what follows from them."""

    def __init__(self, records, rows, columns, field):
        self.columns = columns
        by_place = {}
        for record in records:
            place = record["row"], record["allocator"]
            by_place.setdefault(place, []).append(record)
        self.cells = {place: Cell(found, field) for place, found in by_place.items()}
        self.rows = [row for row in rows
                     if any((row.name, column.name) in self.cells for column in columns)]

    def cell(self, row, column):
        """Null if it took no part."""
        return self.cells.get((row.name, column.name))

    def best_peer(self, row):
        """The least median of the peers in a row, null if there is none."""
        medians = [cell.median for column in self.columns if column.is_peer
                   for cell in [self.cell(row, column)] if cell and cell.counts]
        return min(medians, default=None)

    def relative(self, row, column):
        """(median, low quartile, high quartile) over the best peer, or null."""
        best, cell = self.best_peer(row), self.cell(row, column)
        if not best or cell is None or not cell.counts:
            return None
        low, high = cell.quartiles
        return cell.median / best, low / best, high / best

    def mean(self, column):
        """Geometric mean over all rows that have a figure, and their number."""
        found = [self.relative(row, column) for row in self.rows]
        logs = [math.log(ratio[0]) for ratio in found if ratio and ratio[0] > 0]
        return (math.exp(statistics.fmean(logs)) if logs else None), len(logs)
