// For simulation only: activity unit, directory, loader and controller, one conversion after another.
//
// `store.hex` and `directory.hex` are what the loader keeps, `expected.hex` is as for the other bench,
// and `sums.hex` has {driven word-lines, phase, slice, table or all ones, sum - LOWEST}, 32 bits each,
// and which word-lines these are. With SAR_DUMP activity unit and loader are netlists, and what their
// nets do is written down.
`timescale 1ns / 1ps
module bench;
  parameter WORDS = 1;
  parameter ENTRIES = 1;
  parameter TABLES = 1;
  parameter VALUES = 2;
  parameter LOWEST = 0;
  parameter STREAM = 1;

  reg clk = 0, start = 0, count_now = 0, load = 0, write_word = 0, write_entry = 0;
  reg [31:0] at = 0;
  reg [`WORD-1:0] new_word = 0;
  reg [`ENTRY-1:0] new_entry = 0;
  reg [`ROWS-1:0] driven = 0;
  reg [31:0] phase = 0, slice = 0;
  reg signed [31:0] sum = 0;
  wire [`BITS-1:0] dac, level;
  wire cmp, done, half, escape, ready, converts, write;
  wire [`SLOT-1:0] write_address;
  wire [`WORD-1:0] word;
  wire [`BUCKET-1:0] bucket;
  `CONTROLLER
  front_end #(.BITS(`BITS), .SIGNED(`SIGNED)) front (.sum(sum), .dac(dac), .cmp(cmp));
  activity_unit
`ifndef SAR_DUMP
      #(.ROWS(`ROWS), .COUNT(`COUNT), .BUCKETS(`BUCKETS), .BUCKET(`BUCKET), .EDGES(`EDGES))
`endif
  unit (.clk(clk), .load(count_now), .driven(driven), .count(), .bucket(bucket));
  table_loader
`ifndef SAR_DUMP
      #(.WORD(`WORD), .STORE(`STORE), .SLOT(`SLOT), .KEY(`BUCKET + `PHASE + `SLICE), .NUMBER(`NUMBER),
        .DIRECT(`DIRECT))
`endif
  loader (
      .clk(clk), .write_word(write_word), .write_entry(write_entry), .store_address(at[`STORE-1:0]),
      .entry_address(at[`BUCKET+`PHASE+`SLICE-1:0]), .new_word(new_word), .new_entry(new_entry),
      .load(load), .key({bucket, phase[`PHASE-1:0], slice[`SLICE-1:0]}), .ready(ready),
      .converts(converts), .write(write), .write_address(write_address), .word(word)
  );

  reg [`WORD-1:0] store[0:WORDS-1];
  reg [`ENTRY-1:0] directory[0:ENTRIES-1];
  reg [`BITS+9:0] expected[0:TABLES*VALUES-1];
  reg [159+`ROWS:0] stream[0:STREAM-1];
  reg [`ROWS-1:0] which;
  reg loading = 0;
  reg [31:0] lines, of, value;
  integer k, clocks, wrong;
  always #5 clk = ~clk;

  initial begin
    $readmemh("store.hex", store);
    $readmemh("directory.hex", directory);
    $readmemh("expected.hex", expected);
    $readmemh("sums.hex", stream);
    wrong = 0;
    for (k = 0; k < WORDS; k = k + 1) begin
      @(negedge clk) write_word = 1;
      at = k;
      new_word = store[k];
    end
    @(negedge clk) write_word = 0;
    for (k = 0; k < ENTRIES; k = k + 1) begin
      @(negedge clk) write_entry = 1;
      at = k;
      new_entry = directory[k];
    end
    @(negedge clk) write_entry = 0;
`ifdef SAR_DUMP
    $dumpfile("nets.vcd");
    $dumpvars(1, unit);
    $dumpvars(1, loader);
    $dumpvars(0, loading);
`endif
    for (k = 0; k < STREAM; k = k + 1) begin
      {lines, phase, slice, of, value, which} = stream[k];
      count_now = k == 0 || which != driven;
      driven = which;
      @(negedge clk) count_now = 0;
      load = 1;
      @(negedge clk) load = 0;
      loading = 1;
      while (!ready) @(negedge clk);
      loading = 0;
      if (converts !== (of != 32'hffffffff)) wrong = wrong + 1;
      else if (converts) begin
        start = 1;
        sum = LOWEST + value;
        @(negedge clk) start = 0;
        clocks = 0;
        while (done !== 1'b1 && clocks < 300) begin
          @(negedge clk) clocks = clocks + 1;
        end
        if ({clocks[7:0], escape, level, half} !== expected[of*VALUES+value]
            && !(escape && {clocks[7:0], 1'b1} === expected[of*VALUES+value][`BITS+9:`BITS+1]))
          wrong = wrong + 1;
      end
    end
    $display("CONVERSIONS %0d WRONG %0d", STREAM, wrong);
    $finish;
  end
endmodule
