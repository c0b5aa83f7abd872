"""The collective: how the parts of a round become its total, and get to everybody.

Here are its shapes (topology), one generation's rounds (exchange), the values (records and sums), and what carries them
(links, memory). When a generation begins and ends is the business of the machine beside this room.
"""
