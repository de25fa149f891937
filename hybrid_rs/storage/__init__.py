"""What any run rests on: counts kept on disk, engines that draw them, and exchange with other tools."""
