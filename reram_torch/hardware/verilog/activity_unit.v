// Counts driven word-lines, once for all columns of an array, and tells the activity bucket: the
// number of EDGES, but for the first, that the count reaches.
module activity_unit #(
    parameter ROWS = 128,
    parameter COUNT = 8,                      // bits of a count
    parameter BUCKETS = 2,
    parameter BUCKET = 1,                     // bits of a bucket
    parameter [BUCKETS*COUNT-1:0] EDGES = 1   // the fewest of each bucket, the first one's lowest
) (
    input  wire              clk,
    input  wire              load,
    input  wire [ROWS-1:0]   driven,
    output wire [COUNT-1:0]  count,
    output reg  [BUCKET-1:0] bucket
);
  reg [COUNT-1:0] sum;
  integer row, edge_at;
  always @* begin
    sum = 0;
    for (row = 0; row < ROWS; row = row + 1) sum = sum + driven[row];
  end
  gated_register #(.BITS(COUNT)) counted (.clk(clk), .enable(load), .d(sum), .q(count));
  always @* begin
    bucket = 0;
    for (edge_at = 1; edge_at < BUCKETS; edge_at = edge_at + 1)
      if (count >= EDGES[edge_at*COUNT+:COUNT]) bucket = bucket + 1'b1;
  end
endmodule
